import http.client
import ssl
import sys
import urllib.request

proxy, url, agent, connect_agent = sys.argv[1:]


class Connection(http.client.HTTPSConnection):
    def set_tunnel(self, host, port=None, headers=None):
        named = {"User-Agent": connect_agent} if connect_agent else {}
        super().set_tunnel(host, port, {**(headers or {}), **named})


class Handler(urllib.request.HTTPSHandler):
    def https_open(self, request):
        return self.do_open(Connection, request, context=ssl._create_unverified_context())


handlers = [urllib.request.ProxyHandler({"http": proxy, "https": proxy}), Handler()]
request = urllib.request.Request(url, headers={"User-Agent": agent})
print(urllib.request.build_opener(*handlers).open(request, timeout=10).read().decode())
