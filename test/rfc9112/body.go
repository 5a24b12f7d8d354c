package rfc9112

import (
	"slices"
	"strconv"
)

// lengths are about Content-Length.
func lengths() []Case {
	post := func(lines ...string) string { return request("POST", "1", lines...) }
	whole := "Content-Length: " + strconv.Itoa(len(smuggled)) + "\r\n"
	cases := []Case{
		goesOn("6.2", "a body", post("Content-Length: 5\r\n")+"hello", "405 1"),
		goesOn("6.2", "a body that looks like a request", post(whole)+smuggled, "405 1"),
		goesOn("6.2", "a GET with a body that looks like a request", get("1", whole)+smuggled, "302 1"),
		goesOn("6.2", "a HEAD with a body that looks like a request", request("HEAD", "1", whole)+smuggled, "302 1"),
		goesOn("6.2", "zero", get("1", "Content-Length: 0\r\n"), "302 1"),
		goesOn("6.2", "zeros before", post("Content-Length: 005\r\n")+"hello", "405 1"),
		goesOn("6.3", "twice the same", post("Content-Length: 5\r\n", "Content-Length: 5\r\n")+"hello", "405 1"),
		ends("6.3", "two that differ", post("Content-Length: 5\r\n", "Content-Length: 0\r\n")+smuggled, "400"),
		ends("6.3", "two that differ in case", get("1", "Content-Length: 0\r\n", "content-length: 5\r\n")+smuggled, "400"),
		ends("6.3", "a list that differs", post("Content-Length: 5, 0\r\n")+smuggled, "400"),
	}
	for _, value := range []string{
		"-1", "+5", "0x5", "5.0", "5a", "five", "", "5 5", "1_0", "18446744073709551621",
		"99999999999999999999", `"5"`, "５",
	} {
		cases = append(cases, ends("6.3", "not a length: "+value, post("Content-Length: "+value+"\r\n")+smuggled, "400"))
	}
	return cases
}

// chunked says that a body comes in chunks.
const chunked = "Transfer-Encoding: chunked\r\n"

// chunks is a body of one chunk and its end.
func chunks(data string) string {
	return strconv.FormatInt(int64(len(data)), 16) + "\r\n" + data + "\r\n0\r\n\r\n"
}

// codings are about Transfer-Encoding. A server may end the connection after any
// answer; kurz does after a body in chunks, so that there is nothing behind it.
func codings() []Case {
	post := func(lines ...string) string { return request("POST", "1", lines...) }
	cases := []Case{
		ends("7.1", "a chunk", post(chunked)+chunks("hello"), "405 1"),
		ends("7.1", "a chunk that looks like a request", post(chunked)+chunks(smuggled), "405 1"),
		ends("7.1", "a GET with chunks", get("1", chunked)+chunks(smuggled), "302 1"),
		ends("7.1", "sizes in either case, with zeros", post(chunked)+"000A\r\n0123456789\r\na\r\n0123456789\r\n000\r\n\r\n", "405 1"),
		ends("7.1.1", "an extension", post(chunked)+"5;a=b;c=\"d\"\r\nhello\r\n0;e\r\n\r\n", "405 1"),
		ends("7.1.2", "trailers", post(chunked)+"0\r\nX: y\r\nX-Request-Id: 2\r\n\r\n", "405 1"),
		ends("7.1.2", "a trailer that is no trailer", post(chunked)+"0\r\nContent-Length: 5\r\nTransfer-Encoding: x\r\nHost: b\r\n\r\n", "405 1"),
		ends("7", "the coding in capitals", post("TRANSFER-ENCODING: Chunked\r\n")+chunks("hello"), "405 1"),
	}
	// The rest of a body that is not understood is not taken for a request.
	for _, c := range [][2]string{
		{"a size that is none", "g\r\n"},
		{"a size below zero", "-1\r\n"},
		{"a size with a sign", "+5\r\nhello\r\n"},
		{"a size with 0x", "0x5\r\nhello\r\n"},
		{"no size", "\r\nhello\r\n"},
		{"space before a size", " 5\r\nhello\r\n"},
		{"a size beyond 64 bits", "10000000000000005\r\nhello\r\n"},
		{"a size with a line between", "1_0\r\n"},
		{"data beyond the size", "4\r\nhello\r\n"},
		{"data without its end", "5\r\nhello0\r\n\r\n"},
		{"LF alone in an extension", "5;\nx\r\nhello\r\n"},
		{"CR alone after a size", "5\rhello\r\n"},
		{"LF alone after the data", "5\r\nhello\n"},
	} {
		cases = append(cases, ends("7.1", c[0], post(chunked)+c[1]+"0\r\n\r\n"+smuggled, "405 1"))
	}
	return slices.Concat(cases, pairs(post))
}

// pairs are what two readers may take for two things: what smuggling is made
// of.
func pairs(post func(lines ...string) string) []Case {
	cases := []Case{
		ends("6.1", "a length that hides a request", post("Content-Length: 5\r\n", chunked)+"0\r\n\r\n"+smuggled, "405 1"),
		ends("6.1", "a length and chunks", post("Content-Length: 4\r\n", chunked)+chunks(smuggled), "405 1"),
		ends("6.1", "chunks and a length", post(chunked, "Content-Length: 4\r\n")+chunks(smuggled), "405 1"),
		ends("6.1", "a length and chunks of a GET", get("1", "Content-Length: 4\r\n", chunked)+"0\r\n\r\n"+smuggled, "302 1"),
		ends("6.1", "chunks of version 1.0", "POST /"+Honest+" HTTP/1.0\r\nX-Request-Id: 1\r\nConnection: keep-alive\r\n"+chunked+"\r\n0\r\n\r\n"+smuggled, "405 1"),
		ends("6.1", "chunks and a length of version 1.0", "POST /"+Honest+" HTTP/1.0\r\nX-Request-Id: 1\r\nConnection: keep-alive\r\nContent-Length: 5\r\n"+chunked+"\r\n0\r\n\r\n"+smuggled, "405 1"),
		ends("5.1", "a length behind LF alone", post("X: y\nContent-Length: 4\r\n", chunked)+"0\r\n\r\n"+smuggled, "405 1"),
		ends("6.1", "a coding behind CR alone", post("X: y\rTransfer-Encoding: chunked\r\n")+smuggled, "400"),
		ends("6.1", "two codings", post(chunked, chunked)+"0\r\n\r\n"+smuggled, "501"),
	}
	for _, value := range []string{
		"identity", "gzip", "gzip, chunked", "chunked, gzip", "chunked, chunked", "xchunked", "chunkedx", "chunked;a=b",
		"\"chunked\"", "chunked\x0b", "chun ked", "", "x, chunked", "chunked,", ",chunked",
	} {
		status := "501"
		if value == "chunked\x0b" {
			status = "400"
		}
		cases = append(cases, ends("6.1", "a coding that is not known: "+strconv.Quote(value),
			post("Content-Length: 5\r\n", "Transfer-Encoding: "+value+"\r\n")+"0\r\n\r\n"+smuggled, status))
	}
	return cases
}
