package main

import (
	"net"

	"breakwater/cmd/breakwater/console"
)

// demo is what the demonstration page on the private listener needs.
func (a *app) demo() *console.Demo {
	return &console.Demo{
		Folders: console.DemoFolders(),
		Projects: func() (list []console.DemoProject) {
			for _, p := range a.reloader.Current().Projects {
				if len(p.Keys) > 0 {
					list = append(list, console.DemoProject{ID: p.ID, Name: p.Name, Key: p.Keys[0].Public})
				}
			}
			return list
		},
		Public: func() (net.Addr, bool) { return a.public.Addr(), a.reloader.Current().Server.TLS.Enabled() },
		Explain: func(project, itemType string, payload []byte) ([]byte, []console.Scrubbed, error) {
			out, hits, err := a.scrubber.For(project).Explain(itemType, payload)
			list := make([]console.Scrubbed, 0, len(hits))
			for _, h := range hits {
				list = append(list, console.Scrubbed{Path: h.Path, Rule: h.Rule})
			}
			return out, list, err
		},
	}
}
