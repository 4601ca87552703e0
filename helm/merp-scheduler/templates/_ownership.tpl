{{/*
Whether this release may render an object that outlives releases: (list . apiVersion kind namespace name).

Helm refuses an install that meets an object of another release, or of none. What an earlier release left behind by
`helm.sh/resource-policy: keep` is used as it is; NOTES.txt names the command that hands it over to this one. Without a
cluster (`helm template`) nothing is found, and everything is rendered.
*/}}
{{- define "merp-scheduler.mayOwn" -}}
{{- $root := index . 0 }}
{{- $found := lookup (index . 1) (index . 2) (index . 3) (index . 4) }}
{{- if not $found }}true{{- else }}
{{- $annotations := $found.metadata.annotations | default dict }}
{{- $sameName := eq (index $annotations "meta.helm.sh/release-name" | default "") $root.Release.Name }}
{{- $sameNamespace := eq (index $annotations "meta.helm.sh/release-namespace" | default "") $root.Release.Namespace }}
{{- if and $sameName $sameNamespace }}true{{- end }}
{{- end }}
{{- end }}

{{/* What must be right before anything is rendered: each failure is a sentence with the remedy. */}}
{{- define "merp-scheduler.validate" -}}
{{- if not (regexMatch "^[a-z][-a-z0-9]*$" (include "merp-scheduler.fullname" .)) }}
{{- if .Values.fullnameOverride }}
{{- fail (printf "fullnameOverride %s begins with a digit: it names Services too, and their names begin with a letter" .Values.fullnameOverride) }}
{{- end }}
{{- fail (printf "the release's name %s cannot begin the name of a Service, which begins with a letter and has no dots: choose another one, or --set fullnameOverride=merp-scheduler" .Release.Name) }}
{{- end }}
{{- $database := .Values.database }}
{{- if eq $database.type "mysql" }}
{{- if not $database.host }}
{{- fail "database.host is empty: database.type=mysql needs the host of a MySQL or MariaDB server, for example --set database.host=mariadb.db.svc" }}
{{- end }}
{{- if not $database.existingSecret }}
{{- fail (printf "database.existingSecret is empty: the password of %s comes from a Secret that you make, for example `kubectl -n %s create secret generic merp-database --from-literal=%s=…`, and then --set database.existingSecret=merp-database" $database.user .Release.Namespace $database.existingSecretKey) }}
{{- end }}
{{- else }}
{{- if $database.host }}
{{- fail "database.host is set, but database.type is sqlite: say --set database.type=mysql, or leave the host empty" }}
{{- end }}
{{- if gt (int (include "merp-scheduler.operatorReplicas" .)) 1 }}
{{- fail "operator.replicas is more than 1: an SQLite file serves one pod; set database.type=mysql to have an operator that stands by" }}
{{- end }}
{{- if gt (int .Values.api.replicas) 1 }}
{{- fail "api.replicas is more than 1: an SQLite file serves one pod; set database.type=mysql to have more gateways" }}
{{- end }}
{{- if and .Values.persistence.emptyDir .Values.persistence.existingClaim }}
{{- fail "persistence.emptyDir and persistence.existingClaim are both set: the file is either on the claim or on no volume; leave one out" }}
{{- end }}
{{- end }}
{{- $default := .Values.api.defaultNamespace }}
{{- if and .Values.watchNamespace $default (ne .Values.watchNamespace $default) }}
{{- fail (printf "api.defaultNamespace is %s, but the operator serves %s alone (watchNamespace): jobs that name no namespace would never run; leave api.defaultNamespace empty" $default .Values.watchNamespace) }}
{{- end }}
{{- if and .Values.service.nodePort (eq .Values.service.type "ClusterIP") }}
{{- fail "service.nodePort is set, but service.type is ClusterIP: say --set service.type=NodePort, or leave the port empty" }}
{{- end }}
{{- $deployments := (lookup "apps/v1" "Deployment" .Release.Namespace "").items | default list }}
{{- range $deployments }}
{{- $labels := .metadata.labels | default dict }}
{{- if and (eq (index $labels "app.kubernetes.io/part-of" | default "") "merp-scheduler") (ne (index $labels "app.kubernetes.io/instance" | default "") $.Release.Name) }}
{{- fail (printf "the namespace %s already has an installation, the release %s: two operators would serve the same jobs; upgrade that one, or uninstall it first" $.Release.Namespace (index $labels "app.kubernetes.io/instance")) }}
{{- end }}
{{- end }}
{{- end }}
