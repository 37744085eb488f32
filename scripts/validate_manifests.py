"""Checks rendered manifests against the schemas of every supported Kubernetes version, and of the operators that they speak to.

Usage: validate_manifests.py FILE...
"""

import json
import sys
from pathlib import Path

import kubernetes_validate
import yaml
from cloudcoil.models.cert_manager import v1 as cert_manager
from cloudcoil.models.prometheus_operator import v1 as prometheus_operator
from pydantic import ValidationError

# The first has the preStop hook that sleeps.
KUBERNETES = ["1.30", "1.31", "1.32", "1.33", "1.34", "1.35", "1.36", "1.37"]
# Not Kubernetes' own. These are models made from the operators' CustomResourceDefinitions.
CUSTOM = {
    ("cert-manager.io/v1", "Certificate"): cert_manager.Certificate,
    ("cert-manager.io/v1", "Issuer"): cert_manager.Issuer,
    ("monitoring.coreos.com/v1", "PrometheusRule"): prometheus_operator.PrometheusRule,
    ("monitoring.coreos.com/v1", "ServiceMonitor"): prometheus_operator.ServiceMonitor,
}


def faults_of_custom(resource, model):
    """What is wrong with a resource of an operator."""
    try:
        understood = model.model_validate(resource).model_dump(mode="json", by_alias=True, exclude_unset=True)
    except ValidationError as error:
        return [str(error)]
    # A model passes over what it doesn't know, and the API server does too.
    return [] if understood == resource else [f"understood as {understood} only"]


def faults_of_own(resource):
    """What is wrong with a resource of Kubernetes itself, in any version."""
    for version in KUBERNETES:
        try:
            kubernetes_validate.validate(resource, version, strict=True)
        except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
            yield f"{version}: {error.message}"


def main():
    checked, failed = set(), 0
    for path in map(Path, sys.argv[1:]):
        for resource in yaml.safe_load_all(path.read_text()):
            # Most resources are the same in many files.
            text = json.dumps(resource, sort_keys=True)
            if text in checked:
                continue
            checked.add(text)
            model = CUSTOM.get((resource["apiVersion"], resource["kind"]))
            faults = faults_of_custom(resource, model) if model else list(faults_of_own(resource))
            for fault in faults:
                print(f"{path.name}: {resource['kind']} {resource['metadata']['name']}: {fault}", file=sys.stderr)
            failed += bool(faults)
    print(f"{len(checked)} different resources checked for Kubernetes {KUBERNETES[0]} to {KUBERNETES[-1]}, {failed} failed")
    sys.exit(failed > 0 or not checked)


if __name__ == "__main__":
    main()
