{{/* What the operator does with the jobs of the namespaces that it serves: each verb is one that it calls. */}}
{{- define "merp-scheduler.operatorRules" -}}
- apiGroups: [scheduler.merp.io]
  resources: [scheduledjobs]
  # patch: the annotation that asked for a cancellation is removed when that is done; nothing else is changed.
  verbs: [get, list, watch, patch]
- apiGroups: [scheduler.merp.io]
  resources: [jobruns]
  verbs: [get, list, watch, delete]
- apiGroups: [scheduler.merp.io]
  resources: [jobpools]
  verbs: [list, watch]
- apiGroups: [scheduler.merp.io]
  resources: [scheduledjobs/status, jobruns/status, jobpools/status]
  verbs: [patch]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, patch, delete]
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
{{- if .Values.operator.logTails }}
- apiGroups: [""]
  resources: [pods/log]
  verbs: [get]
{{- end }}
{{- if .Values.catalogue.fromNamespaces }}
# Those with the label of a catalogue; rights cannot be given by label.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [list, watch]
{{- end }}
- apiGroups: [""]
  resources: [events]
  verbs: [create, list]
{{- end }}

{{/* What the gateway keeps in memory. */}}
{{- define "merp-scheduler.apiRules" -}}
- apiGroups: [scheduler.merp.io]
  resources: [scheduledjobs, jobruns, jobpools]
  verbs: [list, watch]
{{- end }}

{{/* Calendars are in no namespace, and the same for all. */}}
{{- define "merp-scheduler.calendarRules" -}}
- apiGroups: [scheduler.merp.io]
  resources: [businesscalendars]
  verbs: [get, list, watch]
- apiGroups: [scheduler.merp.io]
  resources: [businesscalendars/status]
  verbs: [patch]
{{- end }}

{{/* Which kinds the cluster knows: kopf waits for a definition that comes later. */}}
{{- define "merp-scheduler.definitionRules" -}}
- apiGroups: [apiextensions.k8s.io]
  resources: [customresourcedefinitions]
  verbs: [list, watch]
{{- end }}
