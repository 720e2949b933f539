package config

import (
	"bytes"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Bounds on a file, far above any real one. They keep a wrong or hostile file
// from costing more than an error message.
const (
	maxFileSize = 1 << 20
	maxDepth    = 32
	maxNodes    = 100_000
	// maxTokens and maxSiblings are for the parser's sake, whose time grows
	// with the square of the keys in one block.
	maxTokens   = 250_000
	maxSiblings = 4000
)

// parseYAML turns a file into the root node of its only document, nil for an
// empty one. It refuses what is too large, too deep or no text, before the
// parser, which recurses, sees it.
func parseYAML(file string, data []byte) (root ast.Node, problem *Problem) {
	fail := func(line, column int, reason, fix string) (ast.Node, *Problem) {
		return nil, &Problem{File: file, Line: line, Column: column, Reason: reason, Fix: fix}
	}
	defer func() {
		if r := recover(); r != nil {
			root, problem = fail(1, 1, "cannot be read as YAML", "compare the file with the example in the README")
		}
	}()
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if len(data) > maxFileSize {
		return fail(1, 1, fmt.Sprintf("file has %d bytes; a configuration has at most %d", len(data), maxFileSize), "is this the right file?")
	}
	if line, column, why := notText(data); why != "" {
		return fail(line, column, why, "save the file as UTF-8 text")
	}
	if line, column := tabIndent(data); line > 0 {
		return fail(line, column, "line is indented with a tab, which YAML does not allow", "indent with spaces")
	}
	tokens := lexer.Tokenize(string(data))
	if tk, why := tooMuch(tokens); tk != nil {
		return fail(tk.Position.Line, tk.Position.Column, why, "compare the file with the example in the README")
	}
	f, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		// The library's message may quote the source, and so a secret: take its
		// words and place, not its excerpt.
		var ye yaml.Error
		if errors.As(err, &ye) && ye.GetToken() != nil && ye.GetToken().Position != nil {
			p := ye.GetToken().Position
			return fail(p.Line, p.Column, "is not valid YAML: "+ye.GetMessage(), "check the indentation and the quotes on this line and the one above")
		}
		return fail(1, 1, "is not valid YAML", "check the indentation and the quotes")
	}
	var body ast.Node
	for _, doc := range f.Docs {
		if doc.Body == nil || doc.Body.Type() == ast.CommentType {
			continue
		}
		if body != nil {
			p := nodePlace(doc.Body)
			return fail(p.line, p.column, "file holds more than one YAML document", "keep one and remove the line --- between them")
		}
		body = doc.Body
	}
	return body, nil
}

// notText finds the first byte that is not part of UTF-8 text.
func notText(data []byte) (line, column int, why string) {
	line, column = 1, 1
	for len(data) > 0 {
		r, n := utf8.DecodeRune(data)
		switch {
		case r == utf8.RuneError && n <= 1:
			return line, column, "is not UTF-8 text"
		case r < ' ' && r != '\n' && r != '\r' && r != '\t' || r == 0x7f:
			return line, column, fmt.Sprintf("holds the control character %#02x", r)
		case r == '\n':
			line, column = line+1, 0
		}
		column++
		data = data[n:]
	}
	return 0, 0, ""
}

// tabIndent finds the first line whose indentation holds a tab. Blank lines
// and comments may have one.
func tabIndent(data []byte) (line, column int) {
	for i, l := range bytes.Split(data, []byte("\n")) {
		text := bytes.TrimLeft(l, " \t\r")
		indent := l[:len(l)-len(text)]
		if len(text) == 0 || text[0] == '#' {
			continue
		}
		if at := bytes.IndexByte(indent, '\t'); at >= 0 {
			return i + 1, at + 1
		}
	}
	return 0, 0
}

// block is what the lines of one indentation are part of.
type block struct{ column, lines int }

// tooMuch finds the token that opens one level too many, by brackets, by
// indentation, or by indicators in a row on one line ("- - - -"), or that is
// one too many in its block or in the file.
func tooMuch(tokens token.Tokens) (at *token.Token, why string) {
	var brackets, inRow, line int
	var open []block
	for i, tk := range tokens {
		if tk.Position == nil || tk.Type == token.CommentType {
			continue
		}
		if tk.Position.Line != line && brackets <= 0 {
			line, inRow = tk.Position.Line, 0
			for len(open) > 0 && open[len(open)-1].column > tk.Position.Column {
				open = open[:len(open)-1]
			}
			if len(open) == 0 || open[len(open)-1].column < tk.Position.Column {
				open = append(open, block{column: tk.Position.Column})
			}
			open[len(open)-1].lines++
		}
		switch tk.Type {
		case token.SequenceStartType, token.MappingStartType:
			brackets++
		case token.SequenceEndType, token.MappingEndType:
			brackets--
		case token.SequenceEntryType, token.MappingKeyType, token.TagType, token.AnchorType:
			inRow++
		default:
		}
		switch {
		case brackets > maxDepth || inRow > maxDepth || len(open) > maxDepth:
			return tk, fmt.Sprintf("is nested more than %d levels deep", maxDepth)
		case len(open) > 0 && open[len(open)-1].lines > maxSiblings:
			return tk, fmt.Sprintf("is one of more than %d keys in a row", maxSiblings)
		case i > maxTokens:
			return tk, "file holds more words and signs than a configuration can need"
		}
	}
	return nil, ""
}

// place is where something stands in the file, counted from 1.
type place struct{ line, column int }

// nodePlace is where a node begins: for a mapping its first key.
func nodePlace(n ast.Node) place {
	switch n := n.(type) {
	case nil:
		return place{}
	case *ast.MappingValueNode:
		return nodePlace(n.Key)
	case *ast.MappingNode:
		if !n.IsFlowStyle && len(n.Values) > 0 {
			return nodePlace(n.Values[0].Key)
		}
	}
	if tk := n.GetToken(); tk != nil && tk.Position != nil {
		return place{tk.Position.Line, tk.Position.Column}
	}
	return place{}
}
