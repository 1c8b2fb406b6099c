{{/* Mounts of the control plane's image. */}}
{{- define "warmpath.mounts" -}}
{{- $files := include "warmpath.files" . | fromYaml -}}
- { name: config, mountPath: /etc/warmpath, readOnly: true }
- { name: state, mountPath: /var/lib/warmpath }
{{- if $files.secrets }}
- { name: secrets, mountPath: /run/warmpath/secrets, readOnly: true }
{{- end }}
{{- if $files.certificates }}
- { name: certificates, mountPath: /run/warmpath/certificates, readOnly: true }
{{- end }}
{{- end -}}

{{/* Writes what Envoy starts with. Envoy's memory limit is this one's too: its heap may take half of it. */}}
{{- define "warmpath.bootstrapContainer" -}}
- name: envoy-config
  image: {{ include "warmpath.image" (list .Values.image .Chart.AppVersion) | quote }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  command: [sh, -c]
  args:
    - >-
      umask 077 && node /app/bin/warmpath.js envoy-config --config /etc/warmpath/warmpath.yaml
      >/var/lib/warmpath/envoy.yaml
  {{- with .Values.env }}
  env: {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext: {{- include "warmpath.containerSecurity" . | nindent 4 }}
  resources: {{- toYaml .Values.envoy.resources | nindent 4 }}
  volumeMounts: {{- include "warmpath.mounts" . | nindent 4 }}
{{- end -}}

{{- define "warmpath.controlPlaneContainer" -}}
{{- $isEpp := eq .Values.mode "epp" -}}
- name: control-plane
  image: {{ include "warmpath.image" (list .Values.image .Chart.AppVersion) | quote }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  args: [serve, --config, /etc/warmpath/warmpath.yaml]
  env:
    # For commands inside the pod: where the admin interface is, and its token.
    - { name: WARMPATH_CONFIG, value: /etc/warmpath/warmpath.yaml }
    {{- with .Values.env }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  ports:
    - { name: admin, containerPort: {{ .Values.ports.admin }} }
    {{- if $isEpp }}
    - { name: grpc, containerPort: {{ .Values.ports.grpc }} }
    - { name: grpc-health, containerPort: {{ .Values.ports.health }} }
    {{- end }}
    {{- if and .Values.failover.enabled (not $isEpp) }}
    - { name: peers, containerPort: {{ .Values.ports.peers }} }
    {{- end }}
    {{- if .Values.agents.enabled }}
    - { name: agents, containerPort: {{ .Values.ports.agents }} }
    {{- end }}
  {{- if $isEpp }}
  startupProbe:
    grpc: { port: {{ .Values.ports.health }}, service: liveness }
    periodSeconds: 1
    failureThreshold: 60
  livenessProbe:
    grpc: { port: {{ .Values.ports.health }}, service: liveness }
    timeoutSeconds: 5
    failureThreshold: 3
    terminationGracePeriodSeconds: 10
  readinessProbe:
    grpc: { port: {{ .Values.ports.health }}, service: readiness }
    periodSeconds: 2
    timeoutSeconds: 2
    failureThreshold: 3
  lifecycle:
    preStop:
      exec:
        # Gateways may still send new requests here.
        command: [sleep, {{ .Values.drain.delaySeconds | quote }}]
  {{- else }}
  startupProbe:
    httpGet: { path: /healthz, port: admin }
    periodSeconds: 1
    failureThreshold: 60
  livenessProbe:
    httpGet: { path: /healthz, port: admin }
    timeoutSeconds: 5
    failureThreshold: 3
    terminationGracePeriodSeconds: 10
  readinessProbe:
    httpGet: { path: /readyz, port: admin }
    # Two in a row: meanwhile its Envoy has seen that it is healthy, and lets no request pass unrouted.
    successThreshold: 2
    periodSeconds: 2
    timeoutSeconds: 2
    failureThreshold: 3
  lifecycle:
    preStop:
      exec:
        # Only where Envoy is to end as well, not where the kubelet restarts this container alone.
        command:
          - sh
          - -c
          - >-
            tries=0; until [ -e /var/lib/warmpath/drain ]; do tries=$((tries + 1)); [ $tries -le 20 ] || exit 0; sleep 0.25; done;
            exec node /app/bin/warmpath.js drain-envoy --config /etc/warmpath/warmpath.yaml
            --delay {{ .Values.drain.delaySeconds }}s --done /var/lib/warmpath/drained
  {{- end }}
  securityContext: {{- include "warmpath.containerSecurity" . | nindent 4 }}
  resources: {{- toYaml .Values.resources | nindent 4 }}
  volumeMounts:
    {{- include "warmpath.mounts" . | nindent 4 }}
    {{- if include "warmpath.rules" . | fromYaml }}
    - { name: api-token, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true }
    {{- end }}
{{- end -}}

{{- define "warmpath.envoyContainer" -}}
{{- if contains "distroless" .Values.envoy.image.tag -}}
{{- fail "envoy.image.tag: a distroless Envoy has no shell, which the hook that waits for running requests needs; take the plain one" -}}
{{- end -}}
{{- $files := include "warmpath.files" . | fromYaml -}}
- name: envoy
  image: {{ include "warmpath.image" (list .Values.envoy.image "") | quote }}
  imagePullPolicy: {{ .Values.envoy.image.pullPolicy }}
  # One that is restarted has not been told to drain.
  command: [sh, -c, 'rm -f /var/lib/warmpath/drain /var/lib/warmpath/drained && exec envoy "$@"', envoy]
  args:
    - -c
    - /var/lib/warmpath/envoy.yaml
    - --concurrency
    - {{ .Values.envoy.concurrency | quote }}
    - --drain-time-s
    - {{ add .Values.drain.delaySeconds .Values.drain.timeoutSeconds 5 | quote }}
    - --drain-strategy
    - immediate
    - --disable-hot-restart
    - --log-level
    - warning
    - --component-log-level
    - ext_proc:error
    - --log-format
    - '{"time":"%Y-%m-%dT%T.%e%z","level":"%l","component":"%n","message":"%j"}'
  ports:
    - { name: clients, containerPort: {{ .Values.ports.clients }} }
  startupProbe:
    tcpSocket: { port: clients }
    periodSeconds: 1
    failureThreshold: 60
  livenessProbe:
    tcpSocket: { port: clients }
    timeoutSeconds: 5
    failureThreshold: 3
    terminationGracePeriodSeconds: 10
  readinessProbe:
    tcpSocket: { port: clients }
    periodSeconds: 2
    timeoutSeconds: 2
    failureThreshold: 3
  lifecycle:
    preStop:
      exec:
        # Asks the control plane's container to let clients go, and waits for running requests.
        command:
          - sh
          - -c
          - >-
            : >/var/lib/warmpath/drain; left={{ add .Values.drain.delaySeconds .Values.drain.timeoutSeconds 5 }};
            until [ -e /var/lib/warmpath/drained ] || [ $left -le 0 ]; do left=$((left - 1)); sleep 1; done
  securityContext: {{- include "warmpath.containerSecurity" . | nindent 4 }}
  resources: {{- toYaml .Values.envoy.resources | nindent 4 }}
  volumeMounts:
    - { name: state, mountPath: /var/lib/warmpath }
    {{- if $files.certificates }}
    - { name: certificates, mountPath: /run/warmpath/certificates, readOnly: true }
    {{- end }}
{{- end -}}

{{/* (list NAME FILES): one volume of files from several Secrets. */}}
{{- define "warmpath.projected" -}}
- name: {{ index . 0 }}
  projected:
    defaultMode: 0440
    sources:
      {{- range index . 1 }}
      - secret:
          name: {{ .name }}
          items:
            - { key: {{ .key | quote }}, path: {{ .path | quote }} }
      {{- end }}
{{- end -}}
