// Peer: a redirect as most Node programs do it. A Map of links, Express, and
// one line of access log for each answer, buffered.
//
//   node server.js ADDR LINKS LOG
"use strict";

const express = require("express");
const fs = require("node:fs");
const readline = require("node:readline");

const [addr, file, log] = process.argv.slice(2);
const links = new Map();

// Buffered by 64 KB and written at least once a second, as nginx's is.
const limit = 64 << 10;
const fd = fs.openSync(log, "a");
let lines = "";
function flush() {
  if (lines === "") return;
  fs.writeSync(fd, lines);
  lines = "";
}
setInterval(flush, 1000);

const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const two = (n) => (n < 10 ? "0" + n : "" + n);
let second = 0;
let stamp = "";
function now() {
  const ms = Date.now();
  if (ms - second >= 1000) {
    second = ms - (ms % 1000);
    const d = new Date(second);
    stamp =
      `${two(d.getUTCDate())}/${months[d.getUTCMonth()]}/${d.getUTCFullYear()}:` +
      `${two(d.getUTCHours())}:${two(d.getUTCMinutes())}:${two(d.getUTCSeconds())} +0000`;
  }
  return stamp;
}

const app = express();

app.get("/:code", (req, res) => {
  const url = links.get(req.params.code);
  if (url === undefined) {
    res.sendStatus(404);
  } else {
    res.redirect(302, url);
  }
  lines +=
    `${req.socket.remoteAddress} - - [${now()}] "${req.method} ${req.originalUrl} HTTP/${req.httpVersion}" ` +
    `${res.statusCode} ${res.getHeader("Content-Length") || 0} "${req.headers.referer || "-"}" "${req.headers["user-agent"] || "-"}"\n`;
  if (lines.length >= limit) flush();
});

readline
  .createInterface({ input: fs.createReadStream(file) })
  .on("line", (line) => {
    const at = line.indexOf(" ");
    links.set(line.slice(0, at), line.slice(at + 1));
  })
  .on("close", () => {
    const [host, port] = addr.split(":");
    app.listen(Number(port), host);
  });

process.on("SIGINT", () => {
  flush();
  process.exit(0);
});
