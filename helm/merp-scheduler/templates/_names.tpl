{{- define "merp-scheduler.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{/* At most 40 characters: suffixes follow, and 63 is what a label may have. */}}
{{- define "merp-scheduler.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains (include "merp-scheduler.name" .) .Release.Name }}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "merp-scheduler.name" .) | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "merp-scheduler.selectorLabels" -}}
app.kubernetes.io/name: {{ include "merp-scheduler.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "merp-scheduler.labels" -}}
{{ include "merp-scheduler.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: merp-scheduler
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name (.Chart.Version | replace "+" "_") }}
{{- end }}

{{/* Cluster-scoped names carry the namespace: two installations may have one release name. */}}
{{- define "merp-scheduler.clusterName" -}}
{{- printf "%s:%s" .Release.Namespace (include "merp-scheduler.fullname" .) }}
{{- end }}

{{- define "merp-scheduler.operatorAccount" -}}
{{- include "merp-scheduler.fullname" . }}-operator
{{- end }}

{{- define "merp-scheduler.apiAccount" -}}
{{- include "merp-scheduler.fullname" . }}-api
{{- end }}

{{/* How many pods have an operator: 0 is a number that somebody chose, so it is no default's place. */}}
{{- define "merp-scheduler.operatorReplicas" -}}
{{- if kindIs "invalid" .Values.operator.replicas }}
{{- ternary 2 1 (eq .Values.database.type "mysql") }}
{{- else }}
{{- int .Values.operator.replicas }}
{{- end }}
{{- end }}

{{/* The operators' Lease, in the release's namespace. */}}
{{- define "merp-scheduler.leaseName" -}}
{{- include "merp-scheduler.operatorAccount" . }}
{{- end }}

{{- define "merp-scheduler.catalogueName" -}}
{{- include "merp-scheduler.fullname" . }}-catalogue
{{- end }}

{{/* One name for every release: the claim outlives its release, and the next one goes on with its history. */}}
{{- define "merp-scheduler.claimName" -}}
{{- .Values.persistence.existingClaim | default (printf "%s-records" (include "merp-scheduler.name" .)) }}
{{- end }}

{{/* Repository and tag or digest of an image: (list . "operator"). */}}
{{- define "merp-scheduler.image" -}}
{{- $root := index . 0 }}
{{- $image := index $root.Values.images (index . 1) }}
{{- $registry := $root.Values.global.imageRegistry | default "" | trimSuffix "/" }}
{{- $repository := ternary $image.repository (printf "%s/%s" $registry $image.repository) (empty $registry) }}
{{- if $image.digest }}
{{- printf "%s@%s" $repository $image.digest }}
{{- else }}
{{- printf "%s:%s" $repository ($image.tag | default $root.Chart.AppVersion) }}
{{- end }}
{{- end }}
