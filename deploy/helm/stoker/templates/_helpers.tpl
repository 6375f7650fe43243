{{- define "stoker.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "stoker.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else if contains (include "stoker.name" .) .Release.Name }}
{{- .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "stoker.name" .) | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "stoker.selector" -}}
app.kubernetes.io/name: {{ include "stoker.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "stoker.labels" -}}
{{ include "stoker.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "stoker.configMap" -}}
{{- default (include "stoker.fullname" .) .Values.existingConfigMap }}
{{- end }}

{{- define "stoker.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "stoker.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "stoker.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}
{{- end }}

{{/* What a Deployment of a role scales: the refreshes of the worker, or of all. */}}
{{- define "stoker.scaled" -}}
{{- if eq .Values.mode "roles" }}{{ include "stoker.fullname" . }}-worker{{ else }}{{ include "stoker.fullname" . }}{{ end }}
{{- end }}

{{/* Mistakes that a schema cannot express. */}}
{{- define "stoker.check" -}}
{{- if and .Values.keda.enabled .Values.hpa.enabled }}
{{- fail "keda.enabled and hpa.enabled: KEDA makes a HorizontalPodAutoscaler of its own, and two of them fight; enable one" }}
{{- end }}
{{- if not .Values.existingSecret }}
{{- fail "existingSecret is required: a Secret with DATABASE_URL, REDIS_URL and STOKER_ADMIN_TOKEN, e.g. kubectl create secret generic stoker --from-literal=DATABASE_URL=..." }}
{{- end }}
{{- if and .Values.keda.enabled (not .Values.keda.address) }}
{{- fail "keda.address is required with keda.enabled: host:port of the queue's Redis" }}
{{- end }}
{{- if and .Values.serviceMonitor.enabled (not .Values.serviceMonitor.tokenSecret.name) }}
{{- fail "serviceMonitor.tokenSecret.name is required with serviceMonitor.enabled: /metrics wants the admin token" }}
{{- end }}
{{- if and .Values.ingress.enabled (not .Values.ingress.host) }}
{{- fail "ingress.host is required with ingress.enabled" }}
{{- end }}
{{- if lt (int .Values.terminationGracePeriodSeconds) 30 }}
{{- fail "terminationGracePeriodSeconds: at least 30, the drain takes up to 25 s" }}
{{- end }}
{{- end }}
