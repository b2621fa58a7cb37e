// Package health judges recorded lives of the kinds as Flux does, by kstatus, and as Argo CD does, by our script.
//
// A life is every object that a watch showed, in its order, in a file KIND.LIFE.json of the folder that
// CLOUDFASTER_LIVES names; tests/machines/lives.rs records them.
package health

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

// What kstatus has to say in each life, one word for each stretch of equal verdicts. What is in brackets passes so fast
// that a watch may miss it.
var lives = map[string]string{
	// Machines.
	"ProxmoxVM.created":      "InProgress Current",
	"ProxmoxVM.second-node":  "InProgress Current",
	"ProxmoxVM.no-node":      "InProgress Current",
	"ProxmoxVM.no-cluster":   "InProgress Current",
	"ProxmoxVM.not-admitted": "InProgress Current",
	"ProxmoxVM.unknown-os":   "InProgress Failed (InProgress )?Current",
	"ProxmoxVM.changed":      "InProgress Current InProgress Current",
	"ProxmoxVM.missing":      "InProgress Current (InProgress )?Failed Terminating",
	"ProxmoxVM.paused":       "InProgress Current InProgress Current",
	"ProxmoxVM.deleted":      "InProgress Current Terminating",
	"ProxmoxVM.given-up":     "InProgress Terminating",
	// Clusters.
	"ProxmoxCluster.connected":   "InProgress Current",
	"ProxmoxCluster.unreachable": "InProgress Current InProgress Current",
	"ProxmoxCluster.no-secret":   "InProgress Current",
	"ProxmoxCluster.invalid":     "InProgress Failed InProgress Current",
}

// What Argo CD says where kstatus says this.
var argo = map[status.Status]string{
	status.InProgressStatus:  "Progressing",
	status.CurrentStatus:     "Healthy",
	status.FailedStatus:      "Degraded",
	status.TerminatingStatus: "Progressing",
}

func load(t *testing.T, file string) []*unstructured.Unstructured {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var states []map[string]any
	// Kubernetes' own decoder: whole numbers stay whole, as in an informer.
	if err := json.Unmarshal(text, &states); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	objects := make([]*unstructured.Unstructured, len(states))
	for index, state := range states {
		objects[index] = &unstructured.Unstructured{Object: state}
	}
	return objects
}

func TestEachLifeIsJudgedRightlyAtEachMoment(t *testing.T) {
	folder := os.Getenv("CLOUDFASTER_LIVES")
	if folder == "" {
		t.Fatal("CLOUDFASTER_LIVES names no folder with lives: cargo test --test machines lives records them")
	}
	files, err := filepath.Glob(filepath.Join(folder, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	judged := map[string]bool{}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		expected, known := lives[name]
		if !known {
			t.Errorf("nobody says here how %s is to be judged", name)
			continue
		}
		judged[name] = true
		t.Run(name, func(t *testing.T) { judgeLife(t, load(t, file), expected) })
	}
	for name := range lives {
		if !judged[name] {
			t.Errorf("%s was not recorded", name)
		}
	}
}

func judgeLife(t *testing.T, life []*unstructured.Unstructured, expected string) {
	if len(life) < 2 {
		t.Fatalf("%d states are no life", len(life))
	}
	if first := life[0].Object["status"]; !isUnobserved(first) {
		t.Errorf("begins with the status %v: nobody has looked yet", first)
	}
	var verdicts []string
	for index, object := range life {
		flux := judgeByKstatus(t, object)
		health := judgeByScript(t, object)
		wanted := argo[flux]
		if object.GetAnnotations()["cloudfaster.app/paused"] == "true" {
			wanted = "Suspended"
		}
		if health.status != wanted {
			t.Errorf("state %d: %s for kstatus, %s for Argo CD\n%v", index, flux, health.status, object.Object)
		}
		if health.message == "" {
			t.Errorf("state %d: Argo CD shows no message\n%v", index, object.Object)
		}
		if flux == status.CurrentStatus {
			isCurrent(t, index, object)
		}
		if len(verdicts) == 0 || verdicts[len(verdicts)-1] != flux.String() {
			verdicts = append(verdicts, flux.String())
		}
	}
	got := strings.Join(verdicts, " ")
	if !regexp.MustCompile("^" + expected + "$").MatchString(got) {
		t.Errorf("%s, expected %s", got, expected)
	}
}

func judgeByKstatus(t *testing.T, object *unstructured.Unstructured) status.Status {
	t.Helper()
	result, err := status.Compute(object)
	if err != nil {
		t.Fatalf("%v\n%v", err, object.Object)
	}
	return result.Status
}

func isUnobserved(value any) bool {
	state, _ := value.(map[string]any)
	return len(state) == 1 && state["observedGeneration"] == int64(-1)
}

// What a user is promised of an object that is called current, asked of the object itself.
func isCurrent(t *testing.T, index int, object *unstructured.Unstructured) {
	t.Helper()
	observed, _, _ := unstructured.NestedInt64(object.Object, "status", "observedGeneration")
	if observed != object.GetGeneration() {
		t.Errorf("state %d is current in generation %d, observed was %d", index, object.GetGeneration(), observed)
	}
	if object.GetKind() != "ProxmoxVM" {
		return
	}
	phase, _, _ := unstructured.NestedString(object.Object, "status", "phase")
	progress, _, _ := unstructured.NestedInt64(object.Object, "status", "progress")
	if phase != "Running" || progress != 100 {
		t.Errorf("state %d is current in phase %s at %d %%", index, phase, progress)
	}
}
