"""Records how a real FastAPI answers the requests of the old API that do not pass: `python record.py > recorded.json`.

Needs: pip install fastapi==0.165.0 pydantic==2.14.4 starlette==1.10.0 python-multipart==0.0.34 httpx
The application has the forms of docs/rest.md and nothing behind them.
"""

import enum
import json
from typing import Optional, Union

import fastapi
from fastapi import File, Form, HTTPException, Query, Security, UploadFile
from fastapi.security import APIKeyHeader
from fastapi.testclient import TestClient

app = fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
header = APIKeyHeader(name="X-API-Key", auto_error=False)


def key(given: Optional[str] = Security(header)):
    if given is None:
        raise HTTPException(401, "API Key header is missing")
    if given != "right":
        raise HTTPException(401, "Invalid or expired API Key")


class Os(str, enum.Enum):
    DEBIAN12 = "DEBIAN12"
    FEDORA = "FEDORA"
    WINDOWS_11 = "WINDOWS_11"


class Action(str, enum.Enum):
    start = "start"
    encender = "encender"
    shutdown = "shutdown"
    apagar = "apagar"
    pause = "pause"
    pausar = "pausar"
    delete = "delete"
    eliminar = "eliminar"


@app.post("/vm", status_code=201)
def create_vm(
    userid: Union[int, str] = Form(...),
    vm_name: str = Form(...),
    os: Os = Form(...),
    disksize: int = Form(40, ge=10, le=500),
    cores: int = Form(2, ge=1, le=8),
    memory: int = Form(2048, ge=1024, le=16384),
    ssh_pub_key: Optional[str] = Form(None),
    wait: int = Query(0, ge=0, le=600),
    _: None = Security(key),
):
    return dict(
        userid=userid, vm_name=vm_name, os=os, disksize=disksize, cores=cores, memory=memory, ssh_pub_key=ssh_pub_key
    )


@app.post("/control-vm/{vm_id}/{action}")
def control_vm(vm_id: str, action: Action, _: None = Security(key)):
    return {"status": "Ok"}


@app.post("/service", status_code=201)
def create_service(
    userid: Union[int, str] = Form(...),
    service_name: str = Form(...),
    service_types: list[str] = Form(...),
    zip_file: Optional[UploadFile] = File(None),
    git_repo_url: Optional[str] = Form(None),
    wait: int = Query(0, ge=0, le=600),
    _: None = Security(key),
):
    return {}


@app.post("/users")
def create_user(userid: Union[int, str] = Form(...), username: str = Form(...), _: None = Security(key)):
    return {"status": "Ok"}


FORM = "application/x-www-form-urlencoded"
GOOD = "userid=7&vm_name=web&os=DEBIAN12"
SERVICE = "userid=7&service_name=shop&service_types=PHP"
PART = (
    '--B\r\nContent-Disposition: form-data; name="userid"\r\n\r\n7\r\n'
    '--B\r\nContent-Disposition: form-data; name="vm_name"\r\n\r\nweb\r\n'
    '--B\r\nContent-Disposition: form-data; name="os"\r\n\r\nDEBIAN12\r\n'
)
PARTS = "multipart/form-data; boundary=B"
requests = [
    ("POST", "/vm", None, FORM, GOOD),
    ("POST", "/vm", "wrong", FORM, GOOD),
    ("POST", "/vm", "", FORM, GOOD),
    ("POST", "/vm", None, FORM, ""),
    ("POST", "/vm", "right", FORM, ""),
    ("POST", "/vm", "right", None, ""),
    ("POST", "/vm", "right", "application/json", '{"userid": 7}'),
    ("POST", "/vm", "right", FORM, "userid=&vm_name=&os="),
    ("POST", "/vm", "right", FORM, "userid=7&vm_name=web&os=BEOS"),
    ("POST", "/vm", "right", FORM, "userid=7&vm_name=web&os=debian12"),
    ("POST", "/vm", "right", FORM, GOOD),
    ("POST", "/vm", "right", FORM, GOOD + "&disksize=&cores=&memory=&ssh_pub_key="),
    ("POST", "/vm", "right", FORM, "userid=%20x%20&vm_name=%20&os=FEDORA"),
    ("POST", "/vm", "right", FORM, "userid=7&vm_name=a&vm_name=b&os=FEDORA"),
    ("POST", "/vm", "right", FORM, GOOD + "&other=1"),
    ("POST", "/vm", "right", PARTS, PART + "--B--\r\n"),
    ("POST", "/vm", "right", PARTS, "--B--\r\n"),
    ("POST", "/vm", "right", PARTS, "no parts at all"),
    ("POST", "/vm", "right", "multipart/form-data", PART + "--B--\r\n"),
    ("POST", "/vm?wait=0", "right", FORM, GOOD),
    ("POST", "/vm?wait=-1", "right", FORM, GOOD),
    ("POST", "/vm?wait=601", "right", FORM, GOOD),
    ("POST", "/vm?wait=soon", "right", FORM, GOOD),
    ("POST", "/vm?wait=", "right", FORM, GOOD),
    ("POST", "/vm?wait=x", "right", FORM, "userid=7"),
]
for field, values in {
    "disksize": ["9", "10", "500", "501"],
    "cores": ["0", "1", "8", "9", "-1"],
    "memory": ["1023", "1024", "16384", "16385"],
}.items():
    requests += [("POST", "/vm", "right", FORM, f"{GOOD}&{field}={value}") for value in values]
for number in [
    "two", "2.5", "2.0", "2.", ".0", "%2B2", "%202%20", "2_0", "2__0", "_2", "2_", "02", "0x2", "1e1", "-0", "--2", "+2",
    "99999999999999999999999999", "true", "None", "2%00", "%D9%A2", "2%0A", "2%20", "%E2%80%832", "-2.0", "02.00", "2.0_0",
    "9" * 4301, "-", "%2B", "2,0", "NaN", "inf", "%2B-2", "0_2", "+%202", "2.000000000000000000000001",
]:
    requests.append(("POST", "/vm", "right", FORM, f"{GOOD}&cores={number}"))
requests += [
    ("POST", "/users", "right", FORM, ""),
    ("POST", "/users", "right", FORM, "userid=7"),
    ("POST", "/users", "right", FORM, "username=ana"),
    ("POST", "/users", None, FORM, "userid=7&username=ana"),
    ("POST", "/control-vm/1003/explode", "right", None, ""),
    ("POST", "/control-vm/1003/START", "right", None, ""),
    ("POST", "/control-vm/1003/apagar", "right", None, ""),
    ("POST", "/control-vm/1003/explode", None, None, ""),
    ("GET", "/control-vm/1003/start", "right", None, ""),
    ("GET", "/nothing", "right", None, ""),
    ("GET", "/nothing/", "right", None, ""),
    ("GET", "//example.com/", "right", None, ""),
    ("OPTIONS", "/vm", None, None, ""),
    ("PUT", "/users", "right", FORM, "userid=7"),
    ("POST", "/service", None, FORM, SERVICE),
    ("POST", "/service", "right", FORM, ""),
    ("POST", "/service", "right", "application/json", '{"userid": 7}'),
    ("POST", "/service", "right", FORM, "userid=&service_name=&service_types=PHP"),
    ("POST", "/service", "right", FORM, SERVICE + "&zip_file=text"),
    ("POST", "/service?wait=601", "right", FORM, SERVICE),
    ("POST", "/service", "right", PARTS, "no parts at all"),
    ("POST", "/service", "right", "multipart/form-data", PART + "--B--\r\n"),
    ("GET", "/vm", "right", None, ""),
    ("DELETE", "/users", None, None, ""),
]

client = TestClient(app, raise_server_exceptions=False)
recorded = []
for method, path, given, kind, body in requests:
    headers = {}
    if given is not None:
        headers["X-API-Key"] = given
    if kind is not None:
        headers["Content-Type"] = kind
    answer = client.request(method, path, headers=headers, content=body.encode())
    allow = answer.headers.get("allow")
    recorded.append(
        dict(method=method, path=path, key=given, type=kind, body=body, status=answer.status_code, answer=answer.json())
        | ({"allow": allow} if allow else {})
    )
print("[")
print(",\n".join(json.dumps(one, ensure_ascii=False) for one in recorded))
print("]")
