package schemas

import (
	"errors"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// ErrNotContainer says that a payload is not {"items": […]}.
var ErrNotContainer = errors.New("not an item container")

// Container is the payload of a log, span or trace_metric item that holds
// many: {"items": […]} and, in newer SDKs, version and ingest_settings. The
// members are raw; edit them, then take Bytes and tell the header with
// ItemHeader.SetItemCount.
type Container struct {
	*Object
	// Items are the members in their order, sharing memory with the payload.
	// After changing the list call Save.
	Items []jsontext.Value
}

// ParseContainer reads a container's payload. Errors: ErrNotContainer and
// those of ParseObject.
func ParseContainer(payload []byte) (*Container, error) {
	o, err := ParseObject(payload)
	if err != nil {
		return nil, err
	}
	list, ok := o.Get("items")
	if !ok || list.Kind() != '[' {
		return nil, ErrNotContainer
	}
	n := 0
	for range Elements(list) {
		n++
	}
	c := &Container{Object: o, Items: make([]jsontext.Value, 0, n)}
	for el := range Elements(list) {
		c.Items = append(c.Items, el)
	}
	return c, nil
}

// Save writes Items back into the object; everything beside the list keeps its bytes.
func (c *Container) Save() {
	size := 2
	for _, it := range c.Items {
		size += len(it) + 1
	}
	out := append(make([]byte, 0, size), '[')
	for i, it := range c.Items {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, it...)
	}
	c.Set("items", append(out, ']'))
}

// ItemCount is the header's item_count; ok is false when it is absent or not
// a count.
func (h ItemHeader) ItemCount() (n int, ok bool) {
	v, found := h.Get("item_count")
	if !found || v.Kind() != '0' {
		return 0, false
	}
	u, err := strconv.ParseUint(string(v), 10, 31)
	return int(u), err == nil
}

// SetItemCount writes item_count: Sentry drops a container whose count is not
// the number of its items.
func (h ItemHeader) SetItemCount(n int) {
	h.Set("item_count", strconv.AppendInt(nil, int64(n), 10))
}
