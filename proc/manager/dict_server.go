package manager

// The operations on dicts, sets and namespaces. A key and a value are sized bytes, a count 8 bytes,
// a flag 1 byte. Pairs and keys go to the end of the message. A set is a dict with empty values.
const (
	dictGet          = opDict + iota // key -> value
	dictSet                          // pairs -> count of new keys
	dictSetDefault                   // key, value -> flag: it was there; value
	dictGetMany                      // keys -> for each: flag, value
	dictDelete                       // keys -> count of those that were there
	dictPop                          // key -> value
	dictPopLast                      // -> key, value
	dictLen                          // -> count
	dictContains                     // key -> flag
	dictKeys                         // -> keys
	dictItems                        // -> pairs
	dictClear                        // -> nothing
	dictUnion                        // objects 8 each -> keys in this or any of them
	dictIntersection                 // objects 8 each -> keys in this and all of them
	dictDifference                   // objects 8 each -> keys in this and none of them
	dictSymmetric                    // object 8 -> keys in this or that, but not in both

	// The same of sets, whose result replaces the set -> nothing
	setUnion
	setIntersection
	setDifference
	setSymmetric

	setCommon // object 8 -> count of keys in both, in this, in that
)

// A dict is a map that keeps the order in which keys were added.
type dict struct {
	nodes       map[string]*node
	first, last *node
}

type node struct {
	key            string
	value          value
	before, behind *node
}

func newDict() *dict { return &dict{nodes: make(map[string]*node)} }

// set sets a key's value, and reports whether the key is new.
func (d *dict) set(x *exchange, key, data []byte) bool {
	if n, ok := d.nodes[string(key)]; ok {
		refs := n.value.refs
		n.value = x.table.keepIn(n.value.data, data)
		x.discard(refs...)
		return false
	}
	n := &node{key: string(key), value: x.keep(data), before: d.last}
	if d.last == nil {
		d.first = n
	} else {
		d.last.behind = n
	}
	d.last = n
	d.nodes[n.key] = n
	return true
}

// remove removes n. The caller gives its references up, or passes them on.
func (d *dict) remove(n *node) {
	if n.before == nil {
		d.first = n.behind
	} else {
		n.before.behind = n.behind
	}
	if n.behind == nil {
		d.last = n.before
	} else {
		n.behind.before = n.before
	}
	delete(d.nodes, n.key)
}

// clear implements content.
func (d *dict) clear() (refs []uint64) {
	for n := d.first; n != nil; n = n.behind {
		refs = append(refs, n.value.refs...)
	}
	*d = *newDict()
	return refs
}

// do implements content.
func (d *dict) do(x *exchange, op byte, args *reader, dst []byte) ([]byte, error) {
	switch op {
	case dictSet, dictDelete:
		return d.change(x, op, args, dst)
	case dictGet, dictPop, dictContains, dictSetDefault:
		return d.one(x, op, args, dst)
	case dictGetMany:
		for len(args.rest) > 0 {
			n, ok := d.nodes[string(args.sized())]
			if !ok {
				dst = append(dst, 0)
				continue
			}
			dst = x.answer(append(dst, 1), n.value)
		}
		return dst, args.end()
	case dictUnion, dictIntersection, dictDifference, dictSymmetric:
		for _, key := range d.combine(op, x.others) {
			dst = appendSized(dst, []byte(key))
		}
		return dst, nil
	case setUnion, setIntersection, setDifference, setSymmetric:
		d.replace(x, d.combine(op-setUnion+dictUnion, x.others))
		return dst, nil
	case setCommon:
		return d.common(x.others, dst)
	}
	if err := args.end(); err != nil {
		return dst, err
	}
	switch op {
	case dictLen:
		return appendUint64(dst, uint64(len(d.nodes))), nil
	case dictPopLast:
		n := d.last
		if n == nil {
			return dst, ErrNotFound
		}
		d.remove(n)
		dst = x.answer(appendSized(dst, []byte(n.key)), n.value)
		x.discard(n.value.refs...)
		return dst, nil
	case dictKeys, dictItems:
		for n := d.first; n != nil; n = n.behind {
			dst = appendSized(dst, []byte(n.key))
			if op == dictItems {
				dst = x.answer(dst, n.value)
			}
		}
		return dst, nil
	case dictClear:
		x.discard(d.clear()...)
		return dst, nil
	}
	return dst, ErrProtocol
}

// change does the operations that change several keys. A malformed message changes nothing.
func (d *dict) change(x *exchange, op byte, args *reader, dst []byte) ([]byte, error) {
	check := *args
	for len(check.rest) > 0 {
		check.sized()
		if op == dictSet {
			check.sized()
		}
	}
	if err := check.end(); err != nil {
		return dst, err
	}
	var count uint64
	for len(args.rest) > 0 {
		key := args.sized()
		if op == dictSet {
			if d.set(x, key, args.sized()) {
				count++
			}
		} else if n, ok := d.nodes[string(key)]; ok {
			d.remove(n)
			x.discard(n.value.refs...)
			count++
		}
	}
	return appendUint64(dst, count), nil
}

// one does the operations on one key.
func (d *dict) one(x *exchange, op byte, args *reader, dst []byte) ([]byte, error) {
	key := args.sized()
	var initial []byte
	if op == dictSetDefault {
		initial = args.sized()
	}
	if err := args.end(); err != nil {
		return dst, err
	}
	n, ok := d.nodes[string(key)]
	switch {
	case op == dictContains:
		return append(dst, flag(ok)), nil
	case op == dictSetDefault:
		if !ok {
			d.set(x, key, initial)
			n = d.last
		}
		return x.answer(append(dst, flag(ok)), n.value), nil
	case !ok:
		return dst, ErrNotFound
	}
	dst = x.answer(dst, n.value)
	if op == dictPop {
		d.remove(n)
		x.discard(n.value.refs...)
	}
	return dst, nil
}

// combine returns the result of an operation on several sets. others are the keys of each other one.
func (d *dict) combine(op byte, others [][]string) (result []string) {
	in := make(map[string]int) // how many of the others have the key
	for _, keys := range others {
		for _, key := range keys {
			in[key]++
		}
	}
	for n := d.first; n != nil; n = n.behind {
		count := in[n.key]
		if op == dictUnion || op == dictIntersection && count == len(others) || op > dictIntersection && count == 0 {
			result = append(result, n.key)
		}
	}
	if op != dictUnion && op != dictSymmetric {
		return result
	}
	for _, keys := range others {
		for _, key := range keys {
			if _, ok := d.nodes[key]; !ok && in[key] > 0 {
				result = append(result, key)
				in[key] = 0
			}
		}
	}
	return result
}

// replace makes keys those of a set. Keys that it had before keep their order.
func (d *dict) replace(x *exchange, keys []string) {
	stay := make(map[string]bool, len(keys))
	for _, key := range keys {
		stay[key] = true
	}
	for n := d.first; n != nil; n = n.behind {
		if !stay[n.key] {
			d.remove(n)
			x.discard(n.value.refs...)
		}
	}
	for _, key := range keys {
		if _, ok := d.nodes[key]; !ok {
			d.set(x, []byte(key), nil)
		}
	}
}

// common does setCommon.
func (d *dict) common(others [][]string, dst []byte) ([]byte, error) {
	if len(others) != 1 {
		return dst, ErrProtocol
	}
	var both uint64
	for _, key := range others[0] {
		if _, ok := d.nodes[key]; ok {
			both++
		}
	}
	return appendUint64(appendUint64(appendUint64(dst, both), uint64(len(d.nodes))), uint64(len(others[0]))), nil
}

// keys returns the keys in order.
func (d *dict) keys() (keys []string) {
	for n := d.first; n != nil; n = n.behind {
		keys = append(keys, n.key)
	}
	return keys
}

func flag(b bool) byte {
	if b {
		return 1
	}
	return 0
}
