package health

import (
	"os"
	"testing"

	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

const script = "../../manifests/argocd/health.lua"

type health struct{ status, message string }

// The words that Argo CD takes; it makes Unknown of any other.
var words = map[string]bool{"Healthy": true, "Progressing": true, "Degraded": true, "Suspended": true, "Missing": true}

// judgeByScript runs the script in the interpreter that Argo CD runs it in, with the few libraries that it opens.
func judgeByScript(t *testing.T, object *unstructured.Unstructured) health {
	t.Helper()
	text, err := os.ReadFile(script)
	if err != nil {
		t.Fatal(err)
	}
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	for name, open := range map[string]lua.LGFunction{
		lua.LoadLibName: lua.OpenPackage, lua.BaseLibName: lua.OpenBase, lua.TabLibName: lua.OpenTable,
	} {
		call := lua.P{Fn: state.NewFunction(open), Protect: true}
		if err := state.CallByParam(call, lua.LString(name)); err != nil {
			t.Fatal(err)
		}
	}
	state.SetGlobal("obj", toLua(state, object.Object))
	if err := state.DoString(string(text)); err != nil {
		t.Fatalf("%v\n%v", err, object.Object)
	}
	table, ok := state.Get(-1).(*lua.LTable)
	if !ok {
		t.Fatalf("the script returns %v, not a table", state.Get(-1))
	}
	verdict := health{lua.LVAsString(table.RawGetString("status")), lua.LVAsString(table.RawGetString("message"))}
	if !words[verdict.status] {
		t.Fatalf("Argo CD knows no %q", verdict.status)
	}
	return verdict
}

func toLua(state *lua.LState, value any) lua.LValue {
	switch value := value.(type) {
	case bool:
		return lua.LBool(value)
	case float64:
		return lua.LNumber(value)
	case int64:
		return lua.LNumber(value)
	case string:
		return lua.LString(value)
	case []any:
		list := state.NewTable()
		for _, item := range value {
			list.Append(toLua(state, item))
		}
		return list
	case map[string]any:
		table := state.NewTable()
		for key, item := range value {
			table.RawSetString(key, toLua(state, item))
		}
		return table
	default:
		return lua.LNil
	}
}

type object = map[string]any

func with(metadata, spec object, conditions ...any) *unstructured.Unstructured {
	metadata["generation"] = int64(2)
	state := object{"observedGeneration": int64(2), "message": "so it is", "conditions": conditions}
	return &unstructured.Unstructured{Object: object{"metadata": metadata, "spec": spec, "status": state}}
}

func condition(kind string) any {
	return object{"type": kind, "status": "True", "reason": "Test", "message": "so it is"}
}

func annotated(value string) object {
	return object{"annotations": object{"cloudfaster.app/paused": value}}
}

func TestWhatStandsStillOnPurposeIsSuspended(t *testing.T) {
	for name, try := range map[string]struct {
		object   *unstructured.Unstructured
		expected string
	}{
		"running":            {with(object{}, object{"powerState": "Running"}, condition("Ready")), "Healthy"},
		"stopped":            {with(object{}, object{"powerState": "Stopped"}, condition("Ready")), "Suspended"},
		"halted":             {with(object{}, object{"powerState": "Paused"}, condition("Ready")), "Suspended"},
		"being stopped":      {with(object{}, object{"powerState": "Stopped"}, condition("Reconciling")), "Progressing"},
		"cannot be stopped":  {with(object{}, object{"powerState": "Stopped"}, condition("Stalled")), "Degraded"},
		"paused":             {with(annotated("true"), object{}, condition("Reconciling"), condition("Paused")), "Suspended"},
		"paused by mistake":  {with(annotated("yes"), object{}, condition("Reconciling"), condition("Paused")), "Suspended"},
		"paused in trouble":  {with(annotated("true"), object{}, condition("Stalled")), "Suspended"},
		"not paused":         {with(annotated("false"), object{}, condition("Ready")), "Healthy"},
		"annotation emptied": {with(annotated(""), object{}, condition("Ready")), "Healthy"},
	} {
		if got := judgeByScript(t, try.object); got.status != try.expected || got.message == "" {
			t.Errorf("%s: %+v, expected %s", name, got, try.expected)
		}
	}
}
