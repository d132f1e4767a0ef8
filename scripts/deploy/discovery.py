"""Tells kubectl which kinds kubernetes.yaml has, as far as `kubectl apply --dry-run=client` asks an API server.

Serves at a free port of 127.0.0.1, which it prints; every object is said to be missing. Only test-files uses it.
"""

import http.server
import json


def resource(name, kind):
    return {"name": name, "singularName": "", "namespaced": True, "kind": kind, "verbs": ["create", "get"]}


def resources(version, *each):
    return {"kind": "APIResourceList", "groupVersion": version, "resources": list(each)}


BATCH = {"groupVersion": "batch/v1", "version": "v1"}
KNOWN = {
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {"kind": "APIGroupList", "groups": [{"name": "batch", "versions": [BATCH], "preferredVersion": BATCH}]},
    "/api/v1": resources("v1", resource("persistentvolumeclaims", "PersistentVolumeClaim")),
    "/apis/batch/v1": resources("batch/v1", resource("jobs", "Job")),
}
MISSING = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        answer = KNOWN.get(self.path.split("?")[0], MISSING)
        body = json.dumps(answer).encode()
        self.send_response(answer.get("code", 200))
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
