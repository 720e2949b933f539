package config

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"sync"

	"github.com/go-playground/validator/v10"
)

// tags makes the validator once; it caches the types it has seen.
var tags = sync.OnceValue(func() *validator.Validate {
	v := validator.New(validator.WithRequiredStructEnabled())
	v.RegisterTagNameFunc(func(f reflect.StructField) string { return f.Tag.Get("yaml") })
	for name, rule := range words {
		must(v.RegisterValidation(name, func(fl validator.FieldLevel) bool {
			reason, _ := rule(fl.Field().String())
			return reason == ""
		}))
	}
	must(v.RegisterValidation("between", func(fl validator.FieldLevel) bool {
		low, high := bounds(fl.Field().Type(), fl.Param())
		return fl.Field().Int() >= low && fl.Field().Int() <= high
	}))
	return v
})

// must is for what only a programming mistake can break.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// bounds reads the parameter of between, "1s 1h", in the type's own words.
func bounds(t reflect.Type, param string) (low, high int64) {
	read := func(s string) int64 {
		v := reflect.New(t)
		must(v.Interface().(interface{ UnmarshalText([]byte) error }).UnmarshalText([]byte(s)))
		return v.Elem().Int()
	}
	l, h := Bounds(param)
	return read(l), read(h)
}

// checkTags reports every value that breaks the bounds of its own field.
func (c *checker) checkTags() {
	err := tags().Struct(c.Config)
	var fields validator.ValidationErrors
	if !errors.As(err, &fields) {
		return
	}
	for _, fe := range fields {
		key := keyPath(fe.Namespace())
		reason, fix := c.explain(key, fe)
		c.add(key, reason, fix)
	}
}

// keyPath turns the validator's namespace into a path as the file has it:
// "Config.projects[0].limits.categories[error].rate" loses its first word, and
// the brackets of maps become dots.
func keyPath(namespace string) string {
	_, path, _ := strings.Cut(namespace, ".")
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(path, "[")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		inner, after, _ := strings.Cut(rest, "]")
		if strings.Trim(inner, "0123456789") == "" && inner != "" {
			b.WriteString("[" + inner + "]")
		} else {
			b.WriteString("." + inner)
		}
		path = after
	}
}

// explain puts a broken rule into words.
func (c *checker) explain(key string, fe validator.FieldError) (reason, fix string) {
	text := fmt.Sprint(fe.Value())
	if s, ok := fe.Value().(Secret); ok {
		text = s.Reveal()
	}
	shown := c.quote(key, fe.Type(), text)
	if rule, ok := words[fe.Tag()]; ok {
		reason, fix = rule(text)
		return shown + " " + reason, fix
	}
	switch fe.Tag() {
	case "required":
		return "is missing", "give it a value"
	case "oneof":
		return shown + " is not known here", suggest(text, strings.Fields(fe.Param()))
	case "between":
		low, high := Bounds(fe.Param())
		return shown + " is out of bounds", "choose from " + low + " to " + high
	case "cidr":
		return shown + " is not a network", "write it like 10.0.0.0/8 or 2001:db8::/32"
	case "printascii":
		return shown + " holds characters that a header cannot carry", "use printable ASCII"
	case "min", "max":
		return c.explainBound(shown, fe)
	}
	return shown + " breaks the rule " + fe.Tag(), ""
}

func (c *checker) explainBound(shown string, fe validator.FieldError) (reason, fix string) {
	than, word := "more than", "at most "
	if fe.Tag() == "min" {
		than, word = "fewer than", "at least "
	}
	switch fe.Kind() {
	case reflect.String:
		return fmt.Sprintf("has %s %s characters", than, fe.Param()), "use " + word + fe.Param()
	case reflect.Slice, reflect.Map:
		return fmt.Sprintf("has %s %s entries", than, fe.Param()), "give " + word + fe.Param()
	case reflect.Uint64:
		if fe.Value() == uint64(0) {
			return "is missing or zero", "give a number of " + word + fe.Param()
		}
	}
	if n, err := strconv.Unquote(shown); err == nil {
		shown = n // numbers need no quotes
	}
	return shown + " is out of bounds", "choose " + word + fe.Param()
}
