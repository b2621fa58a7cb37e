-- How healthy a resource of cloudfaster.app is, for Argo CD, which counts kinds that it does not know healthy.
-- It reads what kstatus reads, so Argo CD and Flux agree; but what stands still on purpose is Suspended.
local function judge(status, message)
  return { status = status, message = message }
end

local meta = obj.metadata or {}
local spec = obj.spec or {}
local state = obj.status or {}
local message = state.message or ""

if meta.deletionTimestamp ~= nil then
  return judge("Progressing", "being removed: " .. message)
end
-- The operator takes any other word for "true".
local paused = (meta.annotations or {})["cloudfaster.app/paused"]
if paused ~= nil and paused ~= "" and paused ~= "false" then
  return judge("Suspended", "paused by the annotation cloudfaster.app/paused")
end
if state.observedGeneration ~= meta.generation then
  return judge("Progressing", "not looked at yet")
end

local is, told = {}, {}
for _, condition in ipairs(state.conditions or {}) do
  is[condition.type] = condition.status == "True"
  told[condition.type] = condition.message
end
if is.Stalled then
  return judge("Degraded", told.Stalled)
end
if is.Reconciling or not is.Ready then
  return judge("Progressing", told.Reconciling or told.Ready or message)
end
if spec.powerState == "Stopped" or spec.powerState == "Paused" or spec.state == "Stopped" then
  return judge("Suspended", told.Ready)
end
return judge("Healthy", told.Ready)
