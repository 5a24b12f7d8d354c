package config

import (
	"encoding"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"time"

	"kurz/internal/link"
	"kurz/internal/ratelimit"
)

const (
	prefix     = "KURZ_"
	fileSuffix = "_FILE"
	// configName is not a setting but says where settings are read from.
	configName = "CONFIG"
)

// Field describes one setting.
type Field struct {
	Name    string // with KURZ_
	Flag    string // without dashes; "" where it has none
	Default string
	Group   string
	Doc     string
	Secret  bool
	Bool    bool // its flag may stand without a value
	index   int
}

// Fields lists the settings in the order of the struct.
func Fields() []Field {
	t := reflect.TypeFor[Settings]()
	fields := make([]Field, 0, t.NumField())
	for i := range t.NumField() {
		f := t.Field(i)
		name := f.Tag.Get("env")
		field := Field{
			Name:    prefix + name,
			Default: f.Tag.Get("default"),
			Group:   f.Tag.Get("group"),
			Doc:     f.Tag.Get("doc"),
			Secret:  f.Tag.Get("secret") == "true",
			Bool:    f.Type.Kind() == reflect.Bool,
			index:   i,
		}
		if !field.Secret {
			field.Flag = strings.ReplaceAll(strings.ToLower(name), "_", "-")
		}
		fields = append(fields, field)
	}
	return fields
}

// set parses text into the field of s.
func (f Field) set(s *Settings, text string) error {
	switch p := reflect.ValueOf(s).Elem().Field(f.index).Addr().Interface().(type) {
	case *string:
		*p = text
	case *bool:
		v, ok := map[string]bool{"true": true, "false": false, "1": true, "0": false, "yes": true, "no": false}[strings.ToLower(text)]
		if !ok {
			return fmt.Errorf("%q is neither true nor false", text)
		}
		*p = v
	case *int:
		v, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("%q is not a whole number", text)
		}
		*p = v
	case *time.Duration:
		return parseDuration(p, text)
	case *Sync:
		return parseSync(p, text)
	case *Retention:
		return parseDays((*time.Duration)(p), text, "keep")
	case *Archiving:
		return parseDays((*time.Duration)(p), text, "off")
	case *Rotation:
		return parseRotation(p, text)
	case *Node:
		return parseNode(p, text)
	case *ratelimit.Limit:
		v, err := ratelimit.Parse(text)
		if err != nil {
			return err
		}
		*p = v
	case **url.URL:
		return parseBaseURL(p, text)
	case *[]string:
		*p = splitList(text)
	case *Proxies:
		return parseProxies(p, text)
	case *slog.Level:
		return parseLevel(p, text)
	default:
		return fmt.Errorf("no parser for %T", p)
	}
	return nil
}

// text gives the value in the form that set reads.
func (f Field) text(s *Settings) string {
	switch v := reflect.ValueOf(s).Elem().Field(f.index).Interface().(type) {
	case string:
		return v
	case []string:
		return strings.Join(v, ",")
	case Proxies:
		all := make([]string, 0, len(v.Ranges)+1)
		for _, p := range v.Ranges {
			all = append(all, p.String())
		}
		if v.Unix {
			all = append(all, unixProxy)
		}
		return strings.Join(all, ",")
	case *url.URL:
		if v == nil {
			return ""
		}
		return v.String()
	case slog.Level:
		return strings.ToLower(v.String())
	case Sync:
		if v.Strict() {
			return "strict"
		}
		return time.Duration(v).String()
	case Retention:
		return daysText(time.Duration(v), "keep")
	case Archiving:
		return daysText(time.Duration(v), "off")
	case Node:
		if v == AutoNode {
			return autoNode
		}
		return strconv.Itoa(int(v))
	case encoding.TextMarshaler:
		b, err := v.MarshalText()
		if err != nil {
			return ""
		}
		return string(b)
	default:
		return fmt.Sprint(v)
	}
}

const day = 24 * time.Hour

func parseDuration(p *time.Duration, text string) error {
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return fmt.Errorf("%q is not a span of time such as 10s or 200ms", text)
	}
	*p = d
	return nil
}

func parseSync(p *Sync, text string) error {
	if text == "strict" {
		*p = 0
		return nil
	}
	var d time.Duration
	if err := parseDuration(&d, text); err != nil || d < time.Millisecond || d > 10*time.Second {
		return fmt.Errorf("%q is neither strict nor a span of time from 1ms to 10s", text)
	}
	*p = Sync(d)
	return nil
}

// daysText gives what parseDays reads.
func daysText(d time.Duration, none string) string {
	if d == 0 {
		return none
	}
	return strconv.Itoa(int(d/day)) + "d"
}

// parseDays reads a number of days, or the word for none.
func parseDays(p *time.Duration, text, none string) error {
	if text == none {
		*p = 0
		return nil
	}
	days, ok := strings.CutSuffix(text, "d")
	n, err := strconv.Atoi(days)
	if !ok || err != nil || n < 1 || n > 36500 {
		return fmt.Errorf("%q is neither %s nor a number of days such as 90d", text, none)
	}
	*p = time.Duration(n) * day
	return nil
}

const (
	autoNode = "auto"
	lastNode = link.MaxNodes - 1
)

func parseNode(p *Node, text string) error {
	n, err := strconv.Atoi(text)
	switch {
	case text == autoNode:
		*p = AutoNode
	case err != nil || n < 0 || n > lastNode:
		return fmt.Errorf("%q is neither auto nor a whole number from 0 to %d", text, lastNode)
	default:
		*p = Node(n)
	}
	return nil
}

func parseRotation(p *Rotation, text string) error {
	switch r := Rotation(text); r {
	case RotateDaily, RotateWeekly, RotateMonthly, RotateNever:
		*p = r
		return nil
	}
	return fmt.Errorf("%q is not one of day, week, month, never", text)
}

func parseBaseURL(p **url.URL, text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
		return fmt.Errorf("%q is not an address such as https://go.example", text)
	case u.User != nil:
		return errors.New("must not have a user name or password")
	case u.Path != "" && u.Path != "/", u.RawQuery != "", u.ForceQuery, u.Fragment != "", strings.Contains(text, "#"):
		return fmt.Errorf("%q must end after the host: no path, query or fragment", text)
	}
	u.Path = ""
	u.Host = strings.ToLower(u.Host)
	*p = u
	return nil
}

func splitList(text string) []string {
	var list []string
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item != "" {
			list = append(list, item)
		}
	}
	return list
}

// unixProxy stands for whoever connects to a Unix socket.
const unixProxy = "unix"

func parseProxies(p *Proxies, text string) error {
	var proxies Proxies
	for _, item := range splitList(text) {
		if item == unixProxy {
			proxies.Unix = true
			continue
		}
		prefix, err := netip.ParsePrefix(item)
		if addr, addrErr := netip.ParseAddr(item); addrErr == nil && addr.Zone() == "" {
			addr = addr.Unmap()
			prefix, err = netip.PrefixFrom(addr, addr.BitLen()), nil
		}
		if err != nil {
			return fmt.Errorf("%q is neither an address, nor a range such as 10.0.0.0/8, nor unix", item)
		}
		if prefix.Addr().Is4In6() {
			return fmt.Errorf("%q: write the IPv4 range itself", item)
		}
		proxies.Ranges = append(proxies.Ranges, prefix.Masked())
	}
	*p = proxies
	return nil
}

func parseLevel(p *slog.Level, text string) error {
	switch text {
	case "debug":
		*p = slog.LevelDebug
	case "info":
		*p = slog.LevelInfo
	case "warn":
		*p = slog.LevelWarn
	case "error":
		*p = slog.LevelError
	default:
		return fmt.Errorf("%q is not one of debug, info, warn, error", text)
	}
	return nil
}
