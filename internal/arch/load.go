package arch

import (
	"bufio"
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Load reads the imports of every package of the module in root: its name and
// its packages by path. Folders that the go command passes over, and modules
// of their own below, are left out.
func Load(root fs.FS) (module string, packages []Package, err error) {
	if module, err = moduleName(root); err != nil {
		return "", nil, err
	}
	found := map[string]*Package{}
	err = fs.WalkDir(root, ".", func(file string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			if passedOver(root, file) {
				return fs.SkipDir
			}
			return nil
		case !strings.HasSuffix(file, ".go"):
			return nil
		}
		dir := path.Dir(file)
		if found[dir] == nil {
			found[dir] = &Package{Path: dir}
		}
		return found[dir].read(root, file)
	})
	if err != nil {
		return "", nil, err
	}
	for _, p := range found {
		packages = append(packages, *p)
	}
	slices.SortFunc(packages, byPath)
	return module, packages, nil
}

func moduleName(root fs.FS) (string, error) {
	f, err := root.Open("go.mod")
	if err != nil {
		return "", err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if name, ok := strings.CutPrefix(lines.Text(), "module "); ok {
			return strings.TrimSpace(name), nil
		}
	}
	return "", fmt.Errorf("go.mod names no module: %w", os.ErrInvalid)
}

func passedOver(root fs.FS, dir string) bool {
	if dir == "." {
		return false
	}
	name := path.Base(dir)
	if name == "testdata" || name == "vendor" || name[0] == '.' || name[0] == '_' {
		return true
	}
	_, err := fs.Stat(root, dir+"/go.mod")
	return err == nil
}

func (p *Package) read(root fs.FS, file string) error {
	source, err := fs.ReadFile(root, file)
	if err != nil {
		return err
	}
	parsed, err := parser.ParseFile(token.NewFileSet(), file, source, parser.ImportsOnly)
	if err != nil {
		return err
	}
	imports := &p.Imports
	if strings.HasSuffix(file, "_test.go") {
		imports = &p.TestImports
	}
	p.Name = strings.TrimSuffix(parsed.Name.Name, "_test")
	for _, spec := range parsed.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		*imports = append(*imports, imported)
	}
	return nil
}
