package proc

import "context"

// A Runner is a task as a type: its fields are the argument.
type Runner interface {
	Run(ctx context.Context) error
}

// RegisterRunner makes a task of the type R, which may be a struct or a pointer to one. In the
// child, Run is called on a copy of the argument: what it changes there, this process does not see.
// In all else RegisterRunner is as Register.
//
//	type greeter struct{ Greeting, Name string }
//
//	func (g greeter) Run(ctx context.Context) error {
//		_, err := fmt.Println(g.Greeting, g.Name)
//		return err
//	}
//
//	var greet = proc.RegisterRunner[greeter]("greet")
//
//	p, err := greet.Start(ctx, greeter{"good morning", "bob"}, nil)
func RegisterRunner[R Runner](name string) *Task[R, None] {
	return Register(name, func(ctx context.Context, r R) (None, error) {
		return None{}, r.Run(ctx)
	})
}
