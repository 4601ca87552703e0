{{/*
The parts of every pod spec of the chart. All settings are in the pod itself, so that a change of a value starts new
pods; the catalogue alone is a file, which the services read anew.
*/}}
{{- define "merp-scheduler.podSettings" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext: {{- toYaml .Values.podSecurityContext | nindent 2 }}
terminationGracePeriodSeconds: {{ int64 .Values.terminationGracePeriodSeconds }}
{{- with .Values.global.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* How the pods of a Deployment of several replicas are spread: (list . "component"). */}}
{{- define "merp-scheduler.spread" -}}
{{- $root := index . 0 }}
{{- if $root.Values.topologySpreadConstraints }}
{{- toYaml $root.Values.topologySpreadConstraints }}
{{- else }}
{{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
- maxSkew: 1
  topologyKey: {{ . }}
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels: {{- include "merp-scheduler.selectorLabels" $root | nindent 6 }}
      app.kubernetes.io/component: {{ index $ 1 }}
{{- end }}
{{- end }}
{{- end }}

{{/* A budget for a component's pods: (list . "component" "label that selects them"). */}}
{{- define "merp-scheduler.budget" -}}
{{- $root := index . 0 }}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "merp-scheduler.fullname" $root }}-{{ index . 1 }}
  labels: {{- include "merp-scheduler.labels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ index . 1 }}
spec:
  maxUnavailable: 1
  # A pod that is not ready serves nobody, and must not hold up the draining of its node.
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels: {{- include "merp-scheduler.selectorLabels" $root | nindent 6 }}
      {{ index . 2 }}
{{- end }}

{{/* Metadata of a pod: (list . "component" (dict of more labels)). */}}
{{- define "merp-scheduler.podMetadata" -}}
{{- $root := index . 0 }}
labels:
  {{- include "merp-scheduler.labels" $root | nindent 2 }}
  app.kubernetes.io/component: {{ index . 1 }}
  {{- range $key, $value := index . 2 }}
  {{ $key }}: {{ $value | quote }}
  {{- end }}
  {{- with $root.Values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with $root.Values.podAnnotations }}
annotations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* What Services, policies and budgets find a container's pod by, in one pod or in two. */}}
{{- define "merp-scheduler.operatorLabel" -}}scheduler.merp.io/serves-operator: "true"{{- end }}
{{- define "merp-scheduler.apiLabel" -}}scheduler.merp.io/serves-api: "true"{{- end }}
