package main

import "github.com/valyala/fasthttp"

// fastHTTP is the server that most who leave the standard library choose.
func fastHTTP(c contest) error {
	server := &fasthttp.Server{Handler: fastRedirects(c)}
	if c.cert != "" {
		return server.ListenAndServeTLS(c.addr, c.cert, c.key)
	}
	return server.ListenAndServe(c.addr)
}

func fastRedirects(c contest) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		if to, ok := c.links[string(ctx.Path()[1:])]; ok {
			ctx.Redirect(to, fasthttp.StatusFound)
		} else {
			ctx.Error("not found", fasthttp.StatusNotFound)
		}
		note(c.log, ctx.RemoteAddr().String(), ctx.Method(), ctx.Path(), ctx.Response.StatusCode(), ctx.Referer(), ctx.UserAgent())
	}
}
