"""No client at all: one epoll loop over raw sockets. Shows what the server can take, not what a program would do."""
import json
import select
import socket
from urllib.parse import urlsplit

import stand


def make(options):
    """A load generator with one request in flight per slot; it checks the status and the length, nothing else."""
    url = urlsplit(options.url)
    head = (f"POST {url.path}/chat/completions HTTP/1.1\r\nHost: {url.netloc}\r\n"
            f"Authorization: Bearer {stand.API_KEY}\r\nContent-Type: application/json\r\nContent-Length: ").encode()

    def request(prompt):
        data = json.dumps(stand.body(options.model, prompt)).encode()
        return head + b"%d\r\n\r\n" % len(data) + data

    def run(prompts):
        todo, total, answers, socks, epoll = map(request, prompts), len(prompts), [], {}, select.epoll()
        for data in (next(todo, None) for _ in range(min(options.slots, total))):
            sock = socket.create_connection((url.hostname, url.port))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            socks[sock.fileno()] = sock
            epoll.register(sock, select.EPOLLIN)
            sock.sendall(data)
        while len(answers) < total:
            for fd, _ in epoll.poll():
                if not socks[fd].recv(65536).startswith(b"HTTP/1.1 200"):
                    raise SystemExit("a request failed")
                answers.append("answered")
                if (data := next(todo, None)) is not None:
                    socks[fd].sendall(data)
        for sock in socks.values():
            sock.close()
        return answers

    return run


if __name__ == "__main__":
    stand.main(make)
