package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"
)

func main() {
	proxy, target, agent, connectAgent := os.Args[1], os.Args[2], os.Args[3], os.Args[4]
	transport := &http.Transport{
		Proxy:             http.ProxyURL(&url.URL{Scheme: "http", Host: proxy}),
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true},
		ForceAttemptHTTP2: true,
	}
	if connectAgent != "" {
		transport.ProxyConnectHeader = http.Header{"User-Agent": {connectAgent}}
	}
	request, err := http.NewRequest("GET", target, nil)
	if err != nil {
		panic(err)
	}
	request.Header.Set("User-Agent", agent)
	client := &http.Client{Transport: transport, Timeout: 10 * time.Second}
	answer, err := client.Do(request)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	defer answer.Body.Close()
	body, _ := io.ReadAll(answer.Body)
	fmt.Println(string(body))
}
