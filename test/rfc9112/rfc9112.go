// Package rfc9112 is a table of what the rules of HTTP/1.1 (RFC 9112) say about
// the bytes that a client sends: requests that are whole, odd, wrong, or one
// thing to one reader and another to the next. It says of each how often a
// server answers, with what, and whether it goes on with the connection.
//
// It knows nothing of kurz but two links. Start reading at Cases.
package rfc9112

import (
	"slices"
	"strings"
)

// The links that the requests are for. Honest is answered with 302. Smuggled,
// answered with 301, is in what only looks like a request: who answers it read
// the bytes before it otherwise than the RFC does.
const (
	Honest   = "found"
	Smuggled = "moved"
)

// Case is what a client sends on one connection.
type Case struct {
	Section string // of RFC 9112, unless it names another
	Name    string
	Raw     string
	// Answers are those that come, in order: the status, and the X-Request-Id
	// of the request that it answers, unless that could not be read.
	Answers []string
	// Ends tells that the server closes the connection after these. Else it
	// answers what comes next.
	Ends bool
	// Stops tells that the client says no more, and closes its half of the
	// connection.
	Stops bool
}

// Next is a request that a connection which goes on answers with 302 and this
// id, and closes after.
const Next = "GET /" + Honest + " HTTP/1.1\r\nHost: a\r\nX-Request-Id: next\r\nConnection: close\r\n\r\n"

// get is a request for the honest link, with its id and more lines, each ended
// by itself.
func get(id string, lines ...string) string { return request("GET", id, lines...) }

func request(method, id string, lines ...string) string {
	return method + " /" + Honest + " HTTP/1.1\r\nHost: a\r\nX-Request-Id: " + id + "\r\n" + strings.Join(lines, "") + "\r\n"
}

// smuggled is a request that is none.
const smuggled = "GET /" + Smuggled + " HTTP/1.1\r\nHost: a\r\nX-Request-Id: smuggled\r\n\r\n"

// Cases gives the table.
func Cases() []Case {
	return slices.Concat(lines(), fields(), lengths(), codings(), closings(), pipelines())
}

// goesOn is a case after which the connection does.
func goesOn(section, name, raw string, answers ...string) Case {
	return Case{Section: section, Name: name, Raw: raw, Answers: answers}
}

// ends is a case that ends the connection.
func ends(section, name, raw string, answers ...string) Case {
	return Case{Section: section, Name: name, Raw: raw, Answers: answers, Ends: true}
}

// stops is a case in which the client says no more, in the middle.
func stops(name, raw string, answers ...string) Case {
	return Case{Section: "8", Name: name, Raw: raw, Answers: answers, Ends: true, Stops: true}
}

// lines are about the line that a request begins with.
func lines() []Case {
	rest := "\r\nHost: a\r\nX-Request-Id: 1\r\n\r\n"
	at := "/" + Honest
	return []Case{
		// It should be passed over; net/http does not.
		ends("2.2", "an empty line before", "\r\n"+get("1"), "400"),
		goesOn("2.2", "LF alone", "GET "+at+" HTTP/1.1\nHost: a\nX-Request-Id: 1\n\n", "302 1"),
		goesOn("2.2", "LF alone after the first line", "GET "+at+" HTTP/1.1\nHost: a\r\nX-Request-Id: 1\r\n\r\n", "302 1"),
		goesOn("2.2", "LF alone at the end", "GET "+at+" HTTP/1.1\r\nHost: a\r\nX-Request-Id: 1\r\n\n", "302 1"),
		ends("2.2", "CR alone as an end", "GET "+at+" HTTP/1.1\rHost: a\r\r"+smuggled, "400"),
		ends("2.2", "CR within the line", "GET "+at+"\r HTTP/1.1"+rest, "400"),
		ends("2.2", "space before the first field", "GET "+at+" HTTP/1.1\r\n X: y\r\nHost: a\r\n\r\n", "400"),
		ends("2.2", "no request at all", "hello\r\n\r\n"+smuggled, "400"),
		ends("2.3", "version 1.0", "GET "+at+" HTTP/1.0\r\nX-Request-Id: 1\r\n\r\n"+smuggled, "302 1"),
		goesOn("2.3", "version 1.2", "GET "+at+" HTTP/1.2"+rest, "302 1"),
		ends("2.3", "version 2.0", "GET "+at+" HTTP/2.0"+rest+smuggled, "505"),
		ends("2.3", "version 0.9", "GET "+at+"\r\n"+smuggled, "400"),
		ends("2.3", "version of two digits", "GET "+at+" HTTP/1.10"+rest, "400"),
		ends("2.3", "version with a zero before", "GET "+at+" HTTP/01.1"+rest, "400"),
		ends("2.3", "version in small letters", "GET "+at+" http/1.1"+rest, "400"),
		ends("2.3", "version with a comma", "GET "+at+" HTTP/1,1"+rest, "400"),
		ends("3", "two spaces before the target", "GET  "+at+" HTTP/1.1"+rest, "400"),
		ends("3", "two spaces before the version", "GET "+at+"  HTTP/1.1"+rest, "400"),
		ends("3", "tabs for spaces", "GET\t"+at+"\tHTTP/1.1"+rest, "400"),
		ends("3", "space at the end", "GET "+at+" HTTP/1.1 "+rest, "400"),
		ends("3", "space at the beginning", " GET "+at+" HTTP/1.1"+rest, "400"),
		ends("3", "a space in the target", "GET "+at+"?a b HTTP/1.1"+rest, "400"),
		ends("3", "a request line in the target", "GET "+at+"?x HTTP/1.1\x00GET /"+Smuggled+" HTTP/1.1"+rest, "400"),
		goesOn("3.1", "a method in small letters", "get "+at+" HTTP/1.1"+rest, "405 1"),
		ends("3.1", "a method that is no token", "G(T "+at+" HTTP/1.1"+rest, "400"),
		ends("3.2", "a target without its slash", "GET "+Honest+" HTTP/1.1"+rest, "400"),
		goesOn("3.2.2", "absolute form", "GET http://a"+at+" HTTP/1.1"+rest, "302 1"),
		goesOn("3.2.3", "authority form", "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\nX-Request-Id: 1\r\n\r\n", "405 1"),
		goesOn("3.2.4", "asterisk form", "OPTIONS * HTTP/1.1"+rest, "204 1"),
		goesOn("3.2.4", "asterisk for another method", "GET * HTTP/1.1"+rest, "404 1"),
	}
}

// fields are about the field lines.
func fields() []Case {
	begin := "GET /" + Honest + " HTTP/1.1\r\nX-Request-Id: 1\r\n"
	return []Case{
		ends("3.2", "no Host", begin+"\r\n"+smuggled, "400"),
		ends("3.2", "two Hosts", begin+"Host: a\r\nHost: b\r\n\r\n"+smuggled, "400"),
		ends("3.2", "twice the same Host", begin+"Host: a\r\nhost: a\r\n\r\n"+smuggled, "400"),
		ends("3.2", "Host with a space", begin+"Host: a b\r\n\r\n"+smuggled, "400"),
		ends("3.2", "Host with a slash", begin+"Host: a/b\r\n\r\n"+smuggled, "400"),
		ends("3.2", "Host as a list", begin+"Host: a, b\r\n\r\n"+smuggled, "400"),
		ends("3.2", "Host folded", begin+"Host: a\r\n b\r\n\r\n"+smuggled, "400"),
		ends("3.2", "no Host for version 1.0", "GET /"+Honest+" HTTP/1.0\r\nX-Request-Id: 1\r\n\r\n", "302 1"),
		goesOn("5", "a name in any case, no space, a tab", begin+"hOST:a\r\nX:\ty \t\r\n\r\n", "302 1"),
		goesOn("5", "an empty value", begin+"Host: a\r\nX:\r\n\r\n", "302 1"),
		goesOn("5", "a colon in a value", begin+"Host: a\r\nX: : y\r\n\r\n", "302 1"),
		ends("5.1", "space before the colon", begin+"Host : a\r\n\r\n"+smuggled, "400"),
		ends("5.1", "tab before the colon", begin+"Host: a\r\nX\t: y\r\n\r\n"+smuggled, "400"),
		ends("5.1", "space before the colon of a length", request("POST", "1", "Content-Length : 5\r\n")+"hello", "400"),
		ends("5.1", "space before the colon of a coding", request("POST", "1", "Transfer-Encoding : chunked\r\n")+chunks(smuggled), "400"),
		ends("5.1", "no colon", begin+"Host: a\r\nbroken\r\n\r\n"+smuggled, "400"),
		ends("5.1", "no name", begin+"Host: a\r\n: y\r\n\r\n"+smuggled, "400"),
		ends("5.1", "a name that is no token", begin+"Host: a\r\nX(Y): z\r\n\r\n"+smuggled, "400"),
		ends("5.1", "a name beyond ASCII", begin+"Host: a\r\nX\xff: z\r\n\r\n"+smuggled, "400"),
		goesOn("5.2", "a folded line", begin+"Host: a\r\nX: y\r\n z\r\n\r\n", "302 1"),
		ends("5.2", "a folded coding", request("POST", "1", "Transfer-Encoding:\r\n chunked\r\n")+chunks("hello"), "405 1"),
		goesOn("5.2", "a fold of nothing but space", begin+"Host: a\r\nX: y\r\n \r\n\r\n", "302 1"),
		ends("RFC 9110 5.5", "NUL in a value", begin+"Host: a\r\nX: \x00\r\n\r\n"+smuggled, "400"),
		ends("RFC 9110 5.5", "CR in a value", begin+"Host: a\r\nX: y\rz\r\n\r\n"+smuggled, "400"),
		ends("RFC 9110 5.5", "a control character in a value", begin+"Host: a\r\nX: \x07\r\n\r\n"+smuggled, "400"),
		goesOn("RFC 9110 5.5", "bytes beyond ASCII in a value", begin+"Host: a\r\nX: \xff\r\n\r\n", "302 1"),
		goesOn("RFC 9110 5.5", "a request in a value", begin+"Host: a\r\nX: GET /"+Smuggled+" HTTP/1.1\r\n\r\n", "302 1"),
		ends("RFC 9110 10.1.1", "what can't be expected", get("1", "Expect: the-worst\r\n"), "417"),
	}
}
