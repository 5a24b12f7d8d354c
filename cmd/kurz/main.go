// Command kurz is a URL shortener: server and command line in one.
package main

import (
	"context"
	"crypto/rand"
	"os"
	"time"

	"kurz/internal/cli"
)

func main() {
	os.Exit(cli.Main(context.Background(), cli.World{
		Args: os.Args[1:], Environ: os.Environ(),
		Stdout: os.Stdout, Stderr: os.Stderr,
		Now: time.Now, Rand: rand.Reader,
	}))
}
