import socket
import ssl
import sys
import urllib.parse

proxy, url, agent, connect_agent = sys.argv[1:]
url = urllib.parse.urlparse(url)
address, port = proxy.rsplit(":", 1)
stream = socket.create_connection((address, int(port)), 10)


def ask(line, host, agent):
    named = "User-Agent: %s\r\n" % agent if agent else ""
    stream.sendall(("%s HTTP/1.1\r\nHost: %s\r\n%s\r\n" % (line, host, named)).encode())
    return stream.recv(4096)


target = url.geturl()
if url.scheme == "https":
    name = url.hostname + ":443"
    ask("CONNECT " + name, name, connect_agent)
    target = url.path
    stream = ssl._create_unverified_context().wrap_socket(stream, server_hostname=url.hostname)
print(ask("GET " + target, url.hostname, agent).decode())
