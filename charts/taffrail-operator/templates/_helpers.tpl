{{- define "taffrail.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-operator" .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "taffrail.selector" -}}
app.kubernetes.io/name: taffrail-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "taffrail.labels" -}}
{{ include "taffrail.selector" . }}
app.kubernetes.io/component: operator
app.kubernetes.io/part-of: taffrail
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "taffrail.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "taffrail.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{- define "taffrail.image" -}}
{{- $repository := .Values.image.repository -}}
{{- with .Values.image.registry }}{{ $repository = printf "%s/%s" . $repository }}{{ end -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" $repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{/* The name of what belongs to no namespace: another release of that name may be in another namespace. */}}
{{- define "taffrail.clusterwide" -}}
{{- printf "%s-%s" .Release.Namespace (include "taffrail.fullname" .) -}}
{{- end -}}

{{/* What `taffrail operator` is told, and what its helpers in hooks are told alike. */}}
{{- define "taffrail.environment" -}}
- name: TAFFRAIL_WATCH_NAMESPACES
  value: {{ join "," .Values.watchNamespaces | quote }}
{{- if .Values.leaderElection.enabled }}
- name: TAFFRAIL_LEASE
  value: {{ include "taffrail.fullname" . }}
{{- end }}
- name: POD_NAMESPACE
  valueFrom: { fieldRef: { fieldPath: metadata.namespace } }
- name: POD_NAME
  valueFrom: { fieldRef: { fieldPath: metadata.name } }
- name: TAFFRAIL_LOG_LEVEL
  value: {{ .Values.logLevel }}
- name: TAFFRAIL_LOG_FORMAT
  value: {{ .Values.logFormat }}
{{- end -}}

{{/* Where Pods of this release run, and as whom. */}}
{{- define "taffrail.pod" -}}
serviceAccountName: {{ include "taffrail.serviceAccount" . }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.podSecurityContext }}
securityContext: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* The labels of Pods of hooks: not those by which the Deployment and the Service know the operator's. */}}
{{- define "taffrail.hookLabels" -}}
app.kubernetes.io/name: taffrail-operator-hook
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/part-of: taffrail
{{- end -}}

{{- define "taffrail.rules" -}}
- apiGroups: [taffrail.dev]
  resources: [kafkaclusters, kafkatopics]
  verbs: [get, list, watch, patch]
- apiGroups: [taffrail.dev]
  resources: [kafkaclusters/status, kafkatopics/status]
  verbs: [patch]
# Where owner references may not block deletion without it.
- apiGroups: [taffrail.dev]
  resources: [kafkaclusters/finalizers, kafkatopics/finalizers]
  verbs: [update]
- apiGroups: [apps]
  resources: [statefulsets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [services]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, create, patch]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, patch, delete]
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [get, list, watch, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end -}}

{{- define "taffrail.clusterReads" -}}
- apiGroups: [""]
  resources: [nodes, namespaces]
  verbs: [get, list, watch]
- apiGroups: [storage.k8s.io]
  resources: [storageclasses]
  verbs: [get, list, watch]
{{- end -}}
