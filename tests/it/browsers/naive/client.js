const http = require("http");
const https = require("https");

const [proxy, text, agent, connectAgent] = process.argv.slice(2);
const [address, port] = proxy.split(":");
const url = new URL(text);
const headers = { "User-Agent": agent };

function read(answer) {
  answer.setEncoding("utf8").on("data", (part) => process.stdout.write(part));
}

if (url.protocol === "http:") {
  http.get({ host: address, port, path: text, headers: { Host: url.host, ...headers } }, read);
} else {
  const authority = `${url.hostname}:443`;
  const named = connectAgent ? { Host: authority, "User-Agent": connectAgent } : { Host: authority };
  const asked = http.request({ host: address, port, method: "CONNECT", path: authority, headers: named });
  asked.on("connect", (answer, socket) => {
    if (answer.statusCode !== 200) {
      throw new Error(`the proxy says ${answer.statusCode}`);
    }
    https.get(url, { socket, agent: false, rejectUnauthorized: false, headers }, read);
  });
  asked.end();
}
