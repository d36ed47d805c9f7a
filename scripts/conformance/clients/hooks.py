"""What schemathesis has to be told: which identifiers exist, so that more than 404s are tried. Every bank that it makes is gone with the server."""
import schemathesis

NAMES = {"bank": "DEMO", "content_id": 1, "id": 1}


@schemathesis.hook
def map_path_parameters(context, path_parameters):
    """Half of the paths name the bank that `clients.sh` made and its item."""
    if path_parameters and len(str(sorted(path_parameters.items()))) % 2 == 0:
        path = context.operation.path
        known = {name: value for name, value in NAMES.items() if name in path_parameters and (name != "id" or path.startswith("/c/bank"))}
        return {**path_parameters, **known}
    return path_parameters
