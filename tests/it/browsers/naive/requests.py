import sys
import requests
import requests.adapters

proxy, url, agent, connect_agent = sys.argv[1:]


class Adapter(requests.adapters.HTTPAdapter):
    def proxy_headers(self, proxy):
        return {"User-Agent": connect_agent} if connect_agent else {}


session = requests.Session()
session.trust_env = False
session.mount("https://", Adapter())
proxies = {"http": "http://" + proxy, "https": "http://" + proxy}
print(session.get(url, proxies=proxies, headers={"User-Agent": agent}, verify=False, timeout=10).text)
