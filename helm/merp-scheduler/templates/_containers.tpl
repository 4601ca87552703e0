{{/* What both services are told. The password is a reference: it is in no manifest of the release. */}}
{{- define "merp-scheduler.commonEnv" -}}
- {name: LOG_LEVEL, value: {{ .Values.logLevel | quote }}}
- {name: JOB_STORE, value: sqlalchemy}
{{- if eq .Values.database.type "mysql" }}
- {name: DB_HOST, value: {{ .Values.database.host | quote }}}
- {name: DB_PORT, value: {{ .Values.database.port | quote }}}
- {name: DB_NAME, value: {{ .Values.database.name | quote }}}
- {name: DB_USER, value: {{ .Values.database.user | quote }}}
- name: DB_PASSWORD
  valueFrom:
    secretKeyRef: {name: {{ .Values.database.existingSecret | quote }}, key: {{ .Values.database.existingSecretKey | quote }}}
{{- else }}
- {name: MERP_SQLITE_PATH, value: /var/lib/merp/records.db}
{{- end }}
- {name: MERP_DEFAULT_TIME_ZONE, value: {{ .Values.defaultTimeZone | quote }}}
- {name: MERP_DEFAULT_IMAGE, value: {{ include "merp-scheduler.image" (list . "tasks") | quote }}}
- {name: MERP_DEFAULT_ENV, value: {{ toJson .Values.jobDefaults.env | quote }}}
- {name: MERP_CATALOGUE, value: /etc/merp-catalogue/catalogue.json}
- {name: MERP_CATALOGUES, value: /etc/merp-catalogues}
{{- end }}

{{- define "merp-scheduler.commonMounts" -}}
- {name: tmp, mountPath: /tmp}
- {name: catalogue, mountPath: /etc/merp-catalogue, readOnly: true}
{{- range $number, $name := .Values.catalogue.configMaps }}
- {name: catalogue-{{ $number }}, mountPath: /etc/merp-catalogues/{{ $name }}, readOnly: true}
{{- end }}
{{- if eq .Values.database.type "sqlite" }}
- {name: records, mountPath: /var/lib/merp}
{{- end }}
{{- end }}

{{- define "merp-scheduler.commonVolumes" -}}
- name: tmp
  emptyDir: {}
- name: catalogue
  configMap: {name: {{ include "merp-scheduler.catalogueName" . }}, optional: true}
{{- range $number, $name := .Values.catalogue.configMaps }}
- name: catalogue-{{ $number }}
  configMap: {name: {{ $name | quote }}, optional: true}
{{- end }}
{{- if eq .Values.database.type "sqlite" }}
- name: records
  {{- if .Values.persistence.emptyDir }}
  emptyDir: {}
  {{- else }}
  persistentVolumeClaim: {claimName: {{ include "merp-scheduler.claimName" . }}}
  {{- end }}
{{- end }}
{{- end }}

{{/* The account's token, for the one container that mounts it: the automatic mount would give it to all of a pod. */}}
{{- define "merp-scheduler.tokenVolume" -}}
- name: account
  projected:
    defaultMode: 0440
    sources:
      # The API server's own default: extended while the kubelet renews it.
      - serviceAccountToken: {path: token, expirationSeconds: 3607}
      - configMap: {name: kube-root-ca.crt, items: [{key: ca.crt, path: ca.crt}]}
      - downwardAPI: {items: [{path: namespace, fieldRef: {fieldPath: metadata.namespace}}]}
{{- end }}

{{- define "merp-scheduler.operatorContainer" -}}
- name: operator
  image: {{ include "merp-scheduler.image" (list . "operator") | quote }}
  imagePullPolicy: {{ .Values.images.operator.pullPolicy }}
  env:
    {{- include "merp-scheduler.commonEnv" . | nindent 4 }}
    - {name: MERP_WATCH_NAMESPACE, value: {{ .Values.watchNamespace | quote }}}
    - {name: MERP_HEALTH_PORT, value: "8080"}
    - {name: MERP_LOG_TAILS, value: {{ .Values.operator.logTails | quote }}}
    # Also where there is one pod: while it is replaced, or its node is lost, there may be two.
    - {name: MERP_LEASE_NAMESPACE, value: {{ .Release.Namespace }}}
    - {name: MERP_LEASE_NAME, value: {{ include "merp-scheduler.leaseName" . }}}
    - name: MERP_POD_NAME
      valueFrom: {fieldRef: {apiVersion: v1, fieldPath: metadata.name}}
    - {name: MERP_PUBLISHED_CATALOGUES, value: {{ .Values.catalogue.fromNamespaces | quote }}}
    {{- with .Values.operator.extraEnv }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  ports:
    - {name: metrics, containerPort: 8080}
  # A first start migrates the database before it serves jobs, but answers /healthz at once.
  startupProbe: {httpGet: {path: /healthz, port: metrics}, periodSeconds: 2, failureThreshold: 60}
  livenessProbe: {httpGet: {path: /healthz, port: metrics}, periodSeconds: 20, timeoutSeconds: 5}
  readinessProbe: {httpGet: {path: /readyz, port: metrics}, periodSeconds: 5, timeoutSeconds: 5}
  resources: {{- toYaml .Values.operator.resources | nindent 4 }}
  securityContext: {{- toYaml .Values.containerSecurityContext | nindent 4 }}
  volumeMounts:
    {{- include "merp-scheduler.commonMounts" . | nindent 4 }}
    - {name: account, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true}
    {{- with .Values.operator.extraVolumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}

{{- define "merp-scheduler.apiContainer" -}}
- name: api
  image: {{ include "merp-scheduler.image" (list . "api") | quote }}
  imagePullPolicy: {{ .Values.images.api.pullPolicy }}
  env:
    {{- include "merp-scheduler.commonEnv" . | nindent 4 }}
    - {name: SERVICE_PORT, value: "8005"}
    - {name: MERP_NAMESPACE, value: {{ .Values.api.defaultNamespace | default .Values.watchNamespace | default "default" | quote }}}
    - {name: MERP_API_SERVER_CA, value: /etc/merp-api-server/ca.crt}
    - {name: MERP_METRICS_PORT, value: "8006"}
    - {name: MERP_TOKEN_FILE, value: /etc/merp-account/token}
    - {name: MERP_WATCH_NAMESPACE, value: {{ .Values.watchNamespace | quote }}}
    - {name: MERP_TEMPLATE_NAMESPACE, value: {{ .Release.Namespace }}}
    {{- with .Values.api.limits }}
    - {name: MERP_REQUESTS_PER_SECOND, value: {{ .requestsPerSecond | quote }}}
    - {name: MERP_REQUEST_BURST, value: {{ .requestBurst | quote }}}
    - {name: MERP_STREAMS_PER_USER, value: {{ .streamsPerUser | quote }}}
    - {name: MERP_STREAMS, value: {{ .streams | quote }}}
    {{- end }}
    {{- if .Values.admissionPolicy.enabled }}
    - {name: MERP_PRIVILEGED_TASKS, value: {{ join "," .Values.admissionPolicy.privilegedTasks | quote }}}
    {{- end }}
    {{- with .Values.api.extraEnv }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  ports:
    - {name: http, containerPort: 8005}
    - {name: api-metrics, containerPort: 8006}
  startupProbe: {httpGet: {path: /healthz, port: http}, periodSeconds: 2, failureThreshold: 60}
  livenessProbe: {httpGet: {path: /healthz, port: http}, periodSeconds: 20, timeoutSeconds: 5}
  readinessProbe: {httpGet: {path: /readyz, port: http}, periodSeconds: 5, timeoutSeconds: 5}
  resources: {{- toYaml .Values.api.resources | nindent 4 }}
  securityContext: {{- toYaml .Values.containerSecurityContext | nindent 4 }}
  # Its own token is for reading; every write carries the token of whoever called the gateway.
  volumeMounts:
    {{- include "merp-scheduler.commonMounts" . | nindent 4 }}
    - {name: api-server-ca, mountPath: /etc/merp-api-server, readOnly: true}
    - {name: api-account, mountPath: /etc/merp-account, readOnly: true}
    {{- with .Values.api.extraVolumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}

{{/* The gateway's token: of its pod's account, or where it shares the operator's pod, of the Secret that it has for that. */}}
{{- define "merp-scheduler.apiTokenVolume" -}}
- name: api-account
  {{- if eq .Values.database.type "sqlite" }}
  secret:
    secretName: {{ include "merp-scheduler.apiAccount" . }}-token
    defaultMode: 0440
    items: [{key: token, path: token}]
  {{- else }}
  projected:
    defaultMode: 0440
    sources:
      - serviceAccountToken: {path: token, expirationSeconds: 3607}
  {{- end }}
{{- end }}

{{- define "merp-scheduler.apiServerCaVolume" -}}
- name: api-server-ca
  configMap: {name: kube-root-ca.crt, items: [{key: ca.crt, path: ca.crt}]}
{{- end }}
