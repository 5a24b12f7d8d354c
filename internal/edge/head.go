package edge

import "encoding/binary"

// head is the head of a request of the common shape: what nearly all requests
// for links look like. Its fields lie in the buffer that it was read from; one
// that the request does not have is nil.
type head struct {
	size     int    // bytes, with the empty line
	isHead   bool   // HEAD, else GET
	close    bool   // the client wants no other answer on this connection
	target   []byte // the path with its '/'
	query    []byte
	host     []byte
	accept   []byte
	language []byte
	agent    []byte
	referer  []byte
	// What a browser says that it fetches for; see fill.
	secPurpose, purpose, xMoz []byte
	dnt, gpc                  []byte
	forwarded                 []byte // X-Forwarded-For
	requestID                 []byte
}

// shape is what a head turns out to be.
type shape uint8

const (
	partial shape = iota // the common shape, so far
	common               // all of it
	doubtful
)

// parse reads the head at the beginning of b. Common is only what net/http
// takes too, and in the same sense: GET or HEAD, a path of the letters of codes
// and a query, HTTP/1.1, field lines of a token, a colon and a value of visible
// characters, spaces and tabs (RFC 9112, sections 3 and 5), each ended by CR LF,
// one Host among them; no body, no field that asks for anything but an answer,
// and none twice that kurz reads. What may still become so is partial, at the
// first byte that rules it out all is doubtful: net/http's to judge.
func (h *head) parse(b []byte) shape {
	*h = head{}
	var i int
	switch {
	case begins(b, "GET /"):
		i = len("GET ")
	case begins(b, "HEAD /"):
		i, h.isHead = len("HEAD "), true
	case len(b) < len("HEAD /") && (string(b) == "GET /"[:min(len(b), len("GET /"))] || string(b) == "HEAD /"[:len(b)]):
		return partial
	default:
		return doubtful
	}
	from := i
	for i++; i < len(b) && classes[b[i]]&inCode != 0; i++ {
	}
	h.target = b[from:i]
	if i < len(b) && b[i] == '?' {
		from = i + 1
		for i++; i < len(b) && classes[b[i]]&inQuery != 0; i++ {
		}
		h.query = b[from:i]
	}
	const version = " HTTP/1.1\r\n"
	if !begins(b[i:], version) {
		if rest := b[i:]; len(rest) < len(version) && string(rest) == version[:len(rest)] {
			return partial
		}
		return doubtful
	}
	return h.fields(b, i+len(version))
}

// fields reads the field lines that begin at i.
func (h *head) fields(b []byte, i int) shape {
	for i < len(b) {
		if b[i] == '\r' {
			switch {
			case i+1 == len(b):
				return partial
			case b[i+1] != '\n' || len(h.host) == 0:
				return doubtful
			}
			h.size = i + 2
			return common
		}
		from := i
		for i < len(b) && classes[b[i]]&inToken != 0 {
			i++
		}
		if i == len(b) {
			return partial
		}
		name := b[from:i]
		if len(name) == 0 || b[i] != ':' {
			return doubtful
		}
		for i++; i < len(b) && (b[i] == ' ' || b[i] == '\t'); i++ {
		}
		from = i
		i += valueLen(b[i:])
		if i == len(b) || b[i] == '\r' && i+1 == len(b) {
			return partial
		}
		if b[i] != '\r' || b[i+1] != '\n' {
			return doubtful
		}
		value := b[from:i]
		for n := len(value); n > 0 && (value[n-1] == ' ' || value[n-1] == '\t'); n-- {
			value = value[:n-1]
		}
		if !h.field(name, value) {
			return doubtful
		}
		i += 2
	}
	return partial
}

// valueLen gives how many bytes at the beginning of b may be in a field's value.
// Of eight that are all visible it takes one look.
func valueLen(b []byte) (n int) {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	for ; n+8 <= len(b); n += 8 {
		v := binary.LittleEndian.Uint64(b[n:])
		del := v ^ 0x7f*ones
		if ((v-' '*ones)&^v|(del-ones)&^del)&tops != 0 {
			break // a byte below ' ', or 0x7f
		}
	}
	for n < len(b) && classes[b[n]]&inValue != 0 {
		n++
	}
	return n
}

// field takes a field; false if it makes the request doubtful.
func (h *head) field(name, value []byte) bool {
	var at *[]byte
	switch len(name) {
	case len("dnt"):
		if named(name, "dnt") {
			at = &h.dnt
		}
	case len("host"):
		if named(name, "host") {
			for _, c := range value {
				if classes[c]&inHost == 0 {
					return false
				}
			}
			at = &h.host
		}
	case len("x-moz"):
		if named(name, "x-moz") {
			at = &h.xMoz
		}
	case len("accept"):
		switch {
		case named(name, "accept"):
			at = &h.accept
		case named(name, "expect"):
			return false
		}
	case len("referer"):
		switch {
		case named(name, "referer"):
			at = &h.referer
		case named(name, "sec-gpc"):
			at = &h.gpc
		case named(name, "purpose"):
			at = &h.purpose
		case named(name, "upgrade"):
			return false
		}
	case len("user-agent"):
		switch {
		case named(name, "user-agent"):
			at = &h.agent
		case named(name, "connection"):
			return h.connection(value)
		}
	case len("sec-purpose"):
		if named(name, "sec-purpose") {
			at = &h.secPurpose
		}
	case len("x-request-id"):
		if named(name, "x-request-id") {
			at = &h.requestID
		}
	case len("content-length"):
		return !named(name, "content-length")
	case len("accept-language"):
		switch {
		case named(name, "accept-language"):
			at = &h.language
		case named(name, "x-forwarded-for"):
			at = &h.forwarded
		}
	case len("transfer-encoding"):
		return !named(name, "transfer-encoding")
	}
	if at == nil {
		return true // nothing that kurz reads
	}
	if *at != nil {
		return false
	}
	*at = value
	return true
}

// connection takes a Connection field, of those that say nothing of other
// fields.
func (h *head) connection(value []byte) bool {
	switch {
	case named(value, "keep-alive"):
		return true
	case named(value, "close"):
		h.close = true
		return true
	}
	return false
}

func begins(b []byte, with string) bool { return len(b) >= len(with) && string(b[:len(with)]) == with }

// named reports whether a token is a name, which is in lower case, in whatever
// case: of the bytes of a token only a letter becomes one by this bit.
func named(token []byte, name string) bool {
	if len(token) != len(name) {
		return false
	}
	for i := range len(name) {
		if token[i]|0x20 != name[i] {
			return false
		}
	}
	return true
}

// The places in a head that a byte may be in.
const (
	inCode  = 1 << iota // a path: what link.ParseCode takes
	inQuery             // a query: anything visible
	inHost
	inToken // RFC 9110, section 5.6.2
	inValue // of a field: RFC 9110, section 5.5
)

var classes = func() (t [256]uint8) {
	for c := range t {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if letter || c == '-' || c == '_' {
			t[c] |= inCode
		}
		if c > ' ' && c < 0x7f {
			t[c] |= inQuery
		}
		if c >= ' ' && c != 0x7f || c == '\t' {
			t[c] |= inValue
		}
		if letter || c == '-' || c == '.' || c == ':' || c == '_' {
			t[c] |= inHost
		}
		if letter {
			t[c] |= inToken
		}
	}
	for _, c := range "!#$%&'*+-.^_`|~" {
		t[c] |= inToken
	}
	return t
}()
