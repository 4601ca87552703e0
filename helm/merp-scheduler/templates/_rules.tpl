{{/* What the operator does with the jobs of the namespaces that it serves: each verb is one that it calls. */}}
{{- define "merp-scheduler.operatorRules" -}}
- apiGroups: [scheduler.merp.io]
  resources: [scheduledjobs]
  verbs: [get, list, watch]
- apiGroups: [scheduler.merp.io]
  resources: [jobruns]
  verbs: [list, watch, delete]
- apiGroups: [scheduler.merp.io]
  resources: [scheduledjobs/status, jobruns/status]
  verbs: [patch]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, delete]
# A server-side apply is a patch, and a create where there is nothing yet.
- apiGroups: [batch]
  resources: [cronjobs]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [batch]
  resources: [cronjobs/status]
  verbs: [patch]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [events]
  verbs: [create]
{{- end }}

{{/* Which kinds the cluster knows: kopf waits for a definition that comes later. */}}
{{- define "merp-scheduler.definitionRules" -}}
- apiGroups: [apiextensions.k8s.io]
  resources: [customresourcedefinitions]
  verbs: [list, watch]
{{- end }}
