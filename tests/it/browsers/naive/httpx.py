import sys
import httpx

proxy, url, agent, connect_agent = sys.argv[1:]
proxy = httpx.Proxy("http://" + proxy, headers={"User-Agent": connect_agent} if connect_agent else {})
transport = httpx.HTTPTransport(proxy=proxy, verify=False)
with httpx.Client(mounts={"all://": transport}, trust_env=False, timeout=10) as client:
    print(client.get(url, headers={"User-Agent": agent}).text)
