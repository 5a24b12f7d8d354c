package client_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	"kurz/client"
)

// exampleServer stands in for a kurz server.
func exampleServer() *httptest.Server {
	mux := http.NewServeMux()
	reply := func(pattern string, status int, body any) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			_ = json.NewEncoder(w).Encode(body)
		})
	}
	link := map[string]any{"short_code": "abc1234", "short_url": "https://go.example/abc1234", "long_url": "https://example.org/a/long/path", "clicks": 3}
	reply("POST /api/v1/urls", http.StatusCreated, link)
	reply("GET /api/v1/urls", http.StatusOK, map[string]any{"items": []any{link}, "next_cursor": nil})
	reply("GET /api/v1/urls/{code}/stats", http.StatusOK, map[string]any{"total_clicks": 3, "unique_visitors": 2})
	return httptest.NewServer(mux)
}

func Example() {
	server := exampleServer() // yours is at an address such as https://go.example
	defer server.Close()

	c, err := client.New(server.URL, client.WithKey("kurz_…"))
	if err != nil {
		log.Fatal(err)
	}
	link, err := c.Shorten(context.Background(), "https://example.org/a/long/path")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(link.ShortURL)
	// Output: https://go.example/abc1234
}

func ExampleClient_Create() {
	server := exampleServer()
	defer server.Close()
	c, err := client.New(server.URL, client.WithKey("kurz_…"))
	if err != nil {
		log.Fatal(err)
	}
	link, err := c.Create(context.Background(), client.NewLink{
		LongURL:     "https://example.org/a/long/path",
		CustomAlias: "spring-sale",
		ExpiresAt:   time.Now().AddDate(0, 1, 0),
		Tags:        []string{"spring"},
	})
	switch {
	case client.Is(err, client.CodeAliasTaken):
		fmt.Println("somebody has this alias")
	case err != nil:
		log.Fatal(err)
	default:
		fmt.Println(link.ShortURL)
	}
	// Output: https://go.example/abc1234
}

func ExampleClient_List() {
	server := exampleServer()
	defer server.Close()
	c, err := client.New(server.URL, client.WithKey("kurz_…"))
	if err != nil {
		log.Fatal(err)
	}
	for link, err := range c.List(context.Background(), client.Filter{Tag: "spring"}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(link.ShortCode, link.Clicks)
	}
	// Output: abc1234 3
}

func ExampleClient_Stats() {
	server := exampleServer()
	defer server.Close()
	c, err := client.New(server.URL, client.WithKey("kurz_…"))
	if err != nil {
		log.Fatal(err)
	}
	report, err := c.Stats(context.Background(), "abc1234", client.Stats{Interval: "day", TimeZone: "Europe/Berlin"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(report.TotalClicks, "clicks by", report.UniqueVisitors, "people")
	// Output: 3 clicks by 2 people
}
