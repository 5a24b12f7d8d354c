package rfc9112

// closings are about messages that are cut off, and about the end of a
// connection.
func closings() []Case {
	return []Case{
		stops("nothing", ""),
		stops("a letter", "G", "400"),
		stops("half a line", "GET /"+Honest, "400"),
		stops("no fields", "GET /"+Honest+" HTTP/1.1\r\n", "400"),
		stops("half a field", "GET /"+Honest+" HTTP/1.1\r\nHo", "400"),
		stops("no empty line", "GET /"+Honest+" HTTP/1.1\r\nHost: a\r\n", "400"),
		stops("half an empty line", "GET /"+Honest+" HTTP/1.1\r\nHost: a\r\n\r", "400"),
		stops("half a body", request("POST", "1", "Content-Length: 10\r\n")+"hello", "405 1"),
		stops("half a chunk", request("POST", "1", chunked)+"10\r\nhello", "405 1"),
		stops("chunks without an end", request("POST", "1", chunked)+"5\r\nhello\r\n", "405 1"),
		stops("half a request behind a whole one", get("1")+"GET /"+Smuggled+" HTTP/1.1\r\nHost: a\r\n", "302 1", "400"),
		ends("9.6", "close", get("1", "Connection: close\r\n")+smuggled, "302 1"),
		ends("9.6", "close in capitals, among others", get("1", "Connection: keep-alive, CLOSE\r\n")+smuggled, "302 1"),
		ends("9.6", "close in a second line", get("1", "Connection: x\r\n", "Connection: close\r\n")+smuggled, "302 1"),
		ends("9.6", "close behind a body", request("POST", "1", "Content-Length: 5\r\n", "Connection: close\r\n")+"hello"+smuggled, "405 1"),
		goesOn("9.3", "keep-alive", get("1", "Connection: keep-alive\r\n"), "302 1"),
		goesOn("9.3", "what begins with close", get("1", "Connection: closed\r\n"), "302 1"),
		ends("9.3", "keep-alive of version 1.0", "GET /"+Honest+" HTTP/1.0\r\nX-Request-Id: 1\r\nConnection: keep-alive\r\n\r\n", "302 1"),
		goesOn("RFC 9110 7.8", "an upgrade to what is not there", get("1", "Connection: upgrade\r\n", "Upgrade: websocket\r\n"), "302 1"),
		ends("RFC 9113 3.4", "the beginning of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", "404"),
	}
}

// pipelines are requests that are sent before those before them are answered.
func pipelines() []Case {
	post := request("POST", "2", "Content-Length: 5\r\n") + "hello"
	return []Case{
		goesOn("9.3.2", "three", get("1")+get("2")+get("3"), "302 1", "302 2", "302 3"),
		goesOn("9.3.2", "HEAD between", get("1")+request("HEAD", "2")+get("3"), "302 1", "302 2", "302 3"),
		goesOn("9.3.2", "a body between", get("1")+post+get("3"), "302 1", "405 2", "302 3"),
		ends("9.3.2", "chunks between", get("1")+request("POST", "2", chunked)+chunks(smuggled)+smuggled, "302 1", "405 2"),
		goesOn("9.3.2", "an unknown path between", get("1")+"GET /health HTTP/1.1\r\nHost: a\r\nX-Request-Id: 2\r\n\r\n"+get("3"), "302 1", "200 2", "302 3"),
		ends("2.2", "an empty line between", get("1")+"\r\n"+get("2"), "302 1", "400"),
		ends("9.3.2", "an end between", get("1")+get("2", "Connection: close\r\n")+smuggled, "302 1", "302 2"),
		ends("9.3.2", "what is wrong between", get("1")+get("2", "X : y\r\n")+smuggled, "302 1", "400"),
		ends("9.3.2", "no Host between", get("1")+"GET /"+Honest+" HTTP/1.1\r\n\r\n"+smuggled, "302 1", "400"),
		ends("9.3.2", "lengths that differ between", get("1")+request("POST", "2", "Content-Length: 5\r\n", "Content-Length: 50\r\n")+smuggled, "302 1", "400"),
	}
}
