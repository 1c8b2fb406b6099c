#!/usr/bin/env python3
"""Writes the schemas that kubeconform checks our manifests with, see README.md. Needs Go, and Python with kubernetes-validate
1.37.0 and PyYAML. Run it in this folder:  python3 make.py"""

import glob
import json
import os
import subprocess

import kubernetes_validate
import yaml

HERE = os.path.dirname(os.path.abspath(__file__))
CORE = """deployment-apps-v1 statefulset-apps-v1 service-v1 configmap-v1 secret-v1 serviceaccount-v1 namespace-v1 pod-v1
role-rbac-v1 rolebinding-rbac-v1 poddisruptionbudget-policy-v1 networkpolicy-networking-v1 ingress-networking-v1
endpointslice-discovery-v1 persistentvolumeclaim-v1""".split()
CRDS = {
    "sigs.k8s.io/gateway-api@v1.6.3": {
        "config/crd/standard/*.yaml": "Gateway GatewayClass HTTPRoute ReferenceGrant BackendTLSPolicy",
    },
    "sigs.k8s.io/gateway-api-inference-extension@v1.5.0": {
        "config/crd/bases/*.yaml": "InferencePool InferenceObjective",
    },
    "github.com/prometheus-operator/prometheus-operator@v0.85.0": {
        "example/prometheus-operator-crd/*.yaml": "ServiceMonitor PrometheusRule",
    },
    "istio.io/api@v1.31.1": {
        "kubernetes/customresourcedefinitions.gen.yaml":
            "EnvoyFilter ServiceEntry WorkloadEntry DestinationRule VirtualService Gateway Sidecar PeerAuthentication",
    },
    "github.com/envoyproxy/gateway@v1.9.1": {
        "charts/gateway-helm/charts/crds/crds/generated/*.yaml":
            "Backend EnvoyExtensionPolicy BackendTrafficPolicy ClientTrafficPolicy EnvoyPatchPolicy EnvoyProxy",
    },
}
# A plain "=" in YAML.
yaml.SafeLoader.add_constructor("tag:yaml.org,2002:value", lambda loader, node: node.value)
OBJECT = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"}}
# What carries nothing to check with, or what kubeconform does not know.
IDLE = {"description", "example", "externalDocs", "title"}


def main():
    folder = os.path.join(
        os.path.dirname(kubernetes_validate.__file__), "kubernetes-json-schema", "v1.36.0-local-strict"
    )
    with open(os.path.join(folder, "_definitions.json")) as file:
        definitions = json.load(file)["$defs"]
    for kind in CORE:
        write("core", kind, self_contained(load_core(folder, kind), definitions))
    for module, files in CRDS.items():
        answer = subprocess.run(["go", "mod", "download", "-json", module], check=True, capture_output=True)
        root = json.loads(answer.stdout)["Dir"]
        for pattern, kinds in files.items():
            for path in glob.glob(os.path.join(root, pattern)):
                take_crds(path, kinds.split())


def load_core(folder, kind):
    with open(os.path.join(folder, kind + ".json")) as file:
        return json.load(file)


def self_contained(schema, definitions):
    """Copies what $ref names into the schema's own $defs; manifests have no status."""
    wanted = {}

    def visit(value):
        if isinstance(value, list):
            return [visit(entry) for entry in value]
        if not isinstance(value, dict):
            return value
        ref = value.get("$ref")
        if isinstance(ref, str):
            name = ref.rsplit("/", 1)[-1]
            if name not in wanted:
                wanted[name] = None
                wanted[name] = visit(definitions[name])
            return {"$ref": f"#/$defs/{name}"}
        return {key: visit(entry) for key, entry in value.items()}

    schema["properties"].pop("status", None)
    top = visit(schema)
    return {**top, "$defs": wanted}


def take_crds(path, kinds):
    with open(path) as file:
        documents = [each for each in yaml.safe_load_all(file) if each]
    for crd in documents:
        if crd.get("kind") != "CustomResourceDefinition" or crd["spec"]["names"]["kind"] not in kinds:
            continue
        spec = crd["spec"]
        names = [version["name"] for version in spec["versions"]]
        for version in spec["versions"]:
            # v1 where there is one, else what is stored.
            if version["name"] == "v1" or ("v1" not in names and version["storage"]):
                schema = strict(version["schema"]["openAPIV3Schema"])
                schema["properties"].pop("status", None)
                # Istio leaves out what every object has.
                schema["properties"] = {**OBJECT, **schema["properties"]}
                write("crd", f"{spec['group']}_{spec['names']['kind'].lower()}_{version['name']}", schema)


def strict(schema):
    """As kubeconform's own openapi2jsonschema.py: unknown fields are refused, int-or-string is said in JSON Schema."""
    if isinstance(schema, list):
        return [strict(entry) for entry in schema]
    if not isinstance(schema, dict):
        return schema
    out = {
        key: {name: strict(entry) for name, entry in value.items()} if key == "properties" else strict(value)
        for key, value in schema.items()
        if not key.startswith("x-kubernetes-")
    }
    if schema.get("format") == "int-or-string" or schema.get("x-kubernetes-int-or-string"):
        out.pop("format", None)
        out.pop("type", None)
        out.pop("anyOf", None)
        out["oneOf"] = [{"type": "string"}, {"type": "integer"}]
    open_ended = schema.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in schema
    if isinstance(schema.get("properties"), dict) and not open_ended:
        out["additionalProperties"] = False
    return out


def without_words(value, is_properties=False):
    if isinstance(value, list):
        return [without_words(entry) for entry in value]
    if not isinstance(value, dict):
        return value
    return {
        key: without_words(entry, key in ("properties", "$defs") and not is_properties)
        for key, entry in value.items()
        if is_properties or key not in IDLE
    }


def write(folder, name, schema):
    os.makedirs(os.path.join(HERE, folder), exist_ok=True)
    with open(os.path.join(HERE, folder, name + ".schemajson"), "w") as file:
        json.dump(without_words(schema), file, separators=(",", ":"), sort_keys=True)
        file.write("\n")


main()
