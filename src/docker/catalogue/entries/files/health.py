# Any answer but an error of the server.
import os
import sys
import urllib.error
import urllib.request


class Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


try:
    urllib.request.build_opener(Stay).open(f"http://127.0.0.1:{os.environ['PORT']}/", timeout=8)
except urllib.error.HTTPError as error:
    sys.exit(error.code >= 500)
except OSError as error:
    sys.exit(str(error))
