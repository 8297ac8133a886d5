import asyncio
import sys
import aiohttp

proxy, url, agent, connect_agent = sys.argv[1:]


async def main():
    named = {"User-Agent": connect_agent} if connect_agent else {}
    timeout = aiohttp.ClientTimeout(total=10)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        asked = session.get(url, proxy="http://" + proxy, proxy_headers=named, headers={"User-Agent": agent}, ssl=False)
        async with asked as answer:
            print(await answer.text())


asyncio.run(main())
