module kurz

go 1.26
