{{- define "warmpath.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* Leaves room for "-dashboard" and the like. */}}
{{- define "warmpath.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What never changes of the pods of one component: (list $ "control-plane"). */}}
{{- define "warmpath.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ include "warmpath.name" $root }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{- define "warmpath.labels" -}}
{{- $root := index . 0 -}}
{{ include "warmpath.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* (list IMAGE DEFAULT_TAG) */}}
{{- define "warmpath.image" -}}
{{- $image := index . 0 -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- $tag := default (index . 1) $image.tag -}}
{{- if eq $tag "latest" -}}
{{- fail (printf "image %s: name a version, latest is another one tomorrow" $image.repository) -}}
{{- end -}}
{{- printf "%s:%s" $image.repository $tag -}}
{{- end -}}
{{- end -}}

{{- define "warmpath.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "warmpath.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "warmpath.poolName" -}}
{{- default (include "warmpath.fullname" .) .Values.endpointPicker.inferencePool.name -}}
{{- end -}}

{{- define "warmpath.redisPasswordSecret" -}}
{{- if .Values.redis.passwordSecret.name -}}
{{- toYaml .Values.redis.passwordSecret -}}
{{- else -}}
name: {{ include "warmpath.fullname" . }}-redis
key: password
{{- end -}}
{{- end -}}

{{- define "warmpath.adminTokenSecret" -}}
{{- if .Values.adminTokenSecret.name -}}
{{- toYaml .Values.adminTokenSecret -}}
{{- else -}}
name: {{ include "warmpath.fullname" . }}-admin
key: token
{{- end -}}
{{- end -}}

{{/* What a Secret of this chart holds: as it was, or made anew. (list $ NAME KEY) */}}
{{- define "warmpath.kept" -}}
{{- $old := lookup "v1" "Secret" (index . 0).Release.Namespace (index . 1) | default dict -}}
{{- dig "data" (index . 2) (randAlphaNum 32 | b64enc) $old -}}
{{- end -}}

{{/* No container needs more than this. */}}
{{- define "warmpath.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
{{- end -}}
