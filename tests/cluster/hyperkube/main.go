// Package main links every Kubernetes component that the embedded cluster runs into one binary. The first argument (or
// the name of the link it was started by) says which of them this process is: one build and one copy of the shared
// code on disk instead of seven.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	// The components print their logs and metrics only if these registrations are linked in.
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	kubectl "k8s.io/kubectl/pkg/cmd"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

type component struct {
	name    string
	command func() *cobra.Command
}

var components = []component{
	{"kube-apiserver", apiserver.NewAPIServerCommand},
	{"kube-controller-manager", controllermanager.NewControllerManagerCommand},
	{"kube-scheduler", func() *cobra.Command { return scheduler.NewSchedulerCommand() }},
	{"kube-proxy", proxy.NewProxyCommand},
	{"kubelet", func() *cobra.Command { return kubelet.NewKubeletCommand(context.Background()) }},
	{"kubectl", kubectl.NewDefaultKubectlCommand},
}

func find(name string) (component, bool) {
	at := slices.IndexFunc(components, func(c component) bool { return c.name == name })
	if at < 0 {
		return component{}, false
	}
	return components[at], true
}

func main() {
	name := filepath.Base(os.Args[0])
	if _, known := find(name); !known && name != "etcd" && len(os.Args) > 1 {
		name = os.Args[1]
		// kubectl and the servers read os.Args themselves, so what they see must look like a direct start.
		os.Args = append([]string{name}, os.Args[2:]...)
	}
	if name == "etcd" {
		etcdmain.Main(os.Args)
		return
	}
	chosen, known := find(name)
	if !known {
		names := []string{"etcd"}
		for _, c := range components {
			names = append(names, c.name)
		}
		fmt.Fprintf(os.Stderr, "usage: hyperkube %s [flags]\n", strings.Join(names, "|"))
		os.Exit(2)
	}
	os.Exit(cli.Run(chosen.command()))
}
