package main

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"path"
	"regexp"
	"strings"
)

// vague are verbs that say nothing of what a function does.
var vague = map[string]bool{"tell": true, "settle": true, "ask": true, "see": true, "look": true}

// versionElement is the last element of a module path from its second major version on.
var versionElement = regexp.MustCompile(`^v[0-9]+$`)

// badNames returns the names of a file that shadow a built-in or an imported package, and functions with a
// vague name.
func badNames(file *ast.File) (faults []string) {
	imported := make(map[string]bool)
	for _, i := range file.Imports {
		imported[importName(i)] = true
	}
	check := func(names ...ast.Expr) {
		for _, e := range names {
			id, ok := e.(*ast.Ident)
			if ok && id.Name != "_" && (types.Universe.Lookup(id.Name) != nil || imported[id.Name]) {
				faults = append(faults, fmt.Sprintf("%s shadows a built-in or a package", id.Name))
			}
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			if n.Tok == token.DEFINE {
				check(n.Lhs...)
				faults = append(faults, vagueClosures(n)...)
			}
		case *ast.RangeStmt:
			if n.Tok == token.DEFINE {
				check(n.Key, n.Value)
			}
		case *ast.ValueSpec:
			for _, id := range n.Names {
				check(id)
			}
		case *ast.FuncType:
			check(fieldNames(n.Params)...)
			check(fieldNames(n.Results)...)
		case *ast.FuncDecl:
			if check(fieldNames(n.Recv)...); n.Recv == nil {
				check(n.Name)
			}
			if vague[strings.ToLower(n.Name.Name)] {
				faults = append(faults, fmt.Sprintf("a function is called %s", n.Name.Name))
			}
		}
		return true
	})
	return faults
}

// vagueClosures returns the function literals of an assignment that have a vague name.
func vagueClosures(n *ast.AssignStmt) (faults []string) {
	for i, e := range n.Lhs {
		id, ok := e.(*ast.Ident)
		if !ok || i >= len(n.Rhs) || !vague[id.Name] {
			continue
		}
		if _, isFunc := n.Rhs[i].(*ast.FuncLit); isFunc {
			faults = append(faults, fmt.Sprintf("a function is called %s", id.Name))
		}
	}
	return faults
}

func fieldNames(list *ast.FieldList) (names []ast.Expr) {
	if list == nil {
		return nil
	}
	for _, f := range list.List {
		for _, id := range f.Names {
			names = append(names, id)
		}
	}
	return names
}

// importName is the name by which a file knows a package.
func importName(i *ast.ImportSpec) string {
	if i.Name != nil {
		return i.Name.Name
	}
	full := strings.Trim(i.Path.Value, "\"")
	if base := path.Base(full); !versionElement.MatchString(base) {
		return base
	}
	return path.Base(path.Dir(full))
}
