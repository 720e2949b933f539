// Package verify holds the files of webdemo/stack to what they are meant for:
// Kubernetes manifests, the compose file of several gateways, and the unit of
// systemd. It is a module of its own, so that Kubernetes' types and kustomize
// are no dependencies of the gateway; `make test` runs it.
//
// Nothing here needs a cluster, a container engine or a running systemd: the
// manifests are built by kustomize and decoded strictly into the official
// types; names, ports, selectors, paths and times are held against each other,
// against the gateway's own checker, and against a gateway that runs.
package verify
