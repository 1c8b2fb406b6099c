{{/* "off" without quotes is false in Helm's YAML. */}}
{{- define "warmpath.pickerTls" -}}
{{- .Values.endpointPicker.tls | default "off" -}}
{{- end -}}

{{/* Sources of nodes, each with its namespace. */}}
{{- define "warmpath.sources" -}}
{{- $sources := list -}}
{{- range .Values.discovery.sources -}}
{{- if has .kind (list "kubernetes" "inferencepool") -}}
{{- $sources = append $sources (merge (dict) . (dict "namespace" $.Release.Namespace)) -}}
{{- else -}}
{{- $sources = append $sources . -}}
{{- end -}}
{{- end -}}
{{- if and (eq .Values.mode "epp") .Values.endpointPicker.inferencePool.create (not $sources) -}}
{{- $sources = list (dict "kind" "inferencepool" "namespace" .Release.Namespace "name" (include "warmpath.poolName" .)) -}}
{{- end -}}
{{- dict "list" $sources | toYaml -}}
{{- end -}}

{{/* Files of the projected volumes: {secrets: [{name, key, path}], certificates: […]}. */}}
{{- define "warmpath.files" -}}
{{- $secrets := list -}}
{{- $certificates := list -}}
{{- range .Values.nodes -}}
{{- if .tokenSecret -}}{{- $secrets = append $secrets (merge (dict "path" (printf "node-%s-token" .name)) .tokenSecret) -}}{{- end -}}
{{- if .tlsCaSecret -}}{{- $certificates = append $certificates (merge (dict "path" (printf "node-%s-ca.pem" .name)) .tlsCaSecret) -}}{{- end -}}
{{- end -}}
{{- range .Values.clients -}}
{{- $secrets = append $secrets (merge (dict "path" (printf "client-%s-key" .name)) .keySecret) -}}
{{- end -}}
{{- $secrets = append $secrets (merge (dict "path" "admin-token") (include "warmpath.adminTokenSecret" . | fromYaml)) -}}
{{- if .Values.redis.enabled -}}
{{- $secrets = append $secrets (merge (dict "path" "store-password") (include "warmpath.redisPasswordSecret" . | fromYaml)) -}}
{{- else -}}
{{- with .Values.store.passwordSecret -}}{{- $secrets = append $secrets (merge (dict "path" "store-password") .) -}}{{- end -}}
{{- with .Values.store.tlsCaSecret -}}{{- $secrets = append $secrets (merge (dict "path" "store-ca.pem") .) -}}{{- end -}}
{{- end -}}
{{- if .Values.agents.enabled -}}
{{- if not .Values.agents.joinTokenSecret -}}{{- fail "agents.enabled needs agents.joinTokenSecret: whoever has that token may join as a node" -}}{{- end -}}
{{- $secrets = append $secrets (merge (dict "path" "join-token") .Values.agents.joinTokenSecret) -}}
{{- with .Values.agents.tlsSecret -}}
{{- $secrets = concat $secrets (list (dict "name" . "key" "tls.crt" "path" "agents.crt") (dict "name" . "key" "tls.key" "path" "agents.key")) -}}
{{- end -}}
{{- end -}}
{{- if and (eq .Values.mode "epp") (eq (include "warmpath.pickerTls" .) "files") -}}
{{- $name := required "endpointPicker.tls: files needs endpointPicker.tlsSecret, a Secret of type kubernetes.io/tls" .Values.endpointPicker.tlsSecret -}}
{{- $secrets = concat $secrets (list (dict "name" $name "key" "tls.crt" "path" "picker.crt") (dict "name" $name "key" "tls.key" "path" "picker.key")) -}}
{{- end -}}
{{- dict "secrets" $secrets "certificates" $certificates | toYaml -}}
{{- end -}}

{{/* warmpath.yaml. What the chart itself decides cannot be overwritten by `config`. */}}
{{- define "warmpath.config" -}}
{{- $values := .Values -}}
{{- range $key := list "listen" "admin" "grpc" "stateDir" "nodes" "clients" "discovery" "store" "agents" "extProc" "replicas" "adminToken" "adminTokenFile" -}}
{{- if hasKey $values.config $key -}}
{{- fail (printf "config.%s: the chart sets this itself, see values.yaml for what decides it" $key) -}}
{{- end -}}
{{- end -}}
{{- $secrets := "/run/warmpath/secrets" -}}
{{- $config := deepCopy $values.config -}}
{{- $_ := set $config "listen" (printf "%s:%v" $values.bindAddress $values.ports.clients) -}}
{{- $_ := set $config "admin" (printf "%s:%v" $values.bindAddress $values.ports.admin) -}}
{{- $_ := set $config "stateDir" "/var/lib/warmpath" -}}
{{- $_ := set $config "envoy" (merge (dict "drainTime" (printf "%vs" $values.drain.timeoutSeconds)) (default dict $config.envoy)) -}}
{{- $_ := set $config "log" (merge (default dict $config.log) (dict "format" "json")) -}}
{{- $_ := set $config "adminTokenFile" (printf "%s/admin-token" $secrets) -}}

{{- $nodes := list -}}
{{- range $values.nodes -}}
{{- $node := omit . "tokenSecret" "tlsCaSecret" -}}
{{- if .tokenSecret -}}{{- $_ := set $node "tokenFile" (printf "%s/node-%s-token" $secrets .name) -}}{{- end -}}
{{- if .tlsCaSecret -}}{{- $_ := set $node "tlsCa" (printf "/run/warmpath/certificates/node-%s-ca.pem" .name) -}}{{- end -}}
{{- $nodes = append $nodes $node -}}
{{- end -}}
{{- $_ := set $config "nodes" $nodes -}}

{{- $clients := list -}}
{{- range $values.clients -}}
{{- $clients = append $clients (set (omit . "keySecret") "keyFile" (printf "%s/client-%s-key" $secrets .name)) -}}
{{- end -}}
{{- if $clients -}}{{- $_ := set $config "clients" $clients -}}{{- end -}}

{{- $_ := set $config "discovery" (set (deepCopy $values.discovery) "sources" (include "warmpath.sources" . | fromYaml).list) -}}

{{- $given := list -}}
{{- range list "url" "sentinels" "clusterNodes" -}}{{- if index $values.store . -}}{{- $given = append $given (printf "store.%s" .) -}}{{- end -}}{{- end -}}
{{- if $values.redis.enabled -}}{{- $given = prepend $given "redis.enabled" -}}{{- end -}}
{{- if gt (len $given) 1 -}}{{- fail (printf "%s: name one Redis, not several" (join ", " $given)) -}}{{- end -}}
{{- if $values.redis.enabled -}}
{{- $_ := set $config "store" (dict "url" (printf "redis://%s-redis:6379/0" (include "warmpath.fullname" .)) "passwordFile" (printf "%s/store-password" $secrets)) -}}
{{- else if $given -}}
{{- $store := dict -}}
{{- range $key, $value := omit $values.store "passwordSecret" "tlsCaSecret" -}}{{- if $value -}}{{- $_ := set $store $key $value -}}{{- end -}}{{- end -}}
{{- if $values.store.passwordSecret -}}{{- $_ := set $store "passwordFile" (printf "%s/store-password" $secrets) -}}{{- end -}}
{{- if $values.store.tlsCaSecret -}}{{- $_ := set $store "tlsCa" (printf "%s/store-ca.pem" $secrets) -}}{{- end -}}
{{- $_ := set $config "store" $store -}}
{{- end -}}

{{- if $values.agents.enabled -}}
{{- $agents := dict "listen" (printf "%s:%v" $values.bindAddress $values.ports.agents) "joinTokenFile" (printf "%s/join-token" $secrets) -}}
{{- if $values.agents.tlsSecret -}}
{{- $agents = merge $agents (dict "tlsCert" (printf "%s/agents.crt" $secrets) "tlsKey" (printf "%s/agents.key" $secrets)) -}}
{{- end -}}
{{- $_ := set $config "agents" $agents -}}
{{- end -}}

{{- if eq $values.mode "epp" -}}
{{- $picker := $values.endpointPicker -}}
{{- $extProc := dict "profile" $picker.profile "tls" (include "warmpath.pickerTls" .) "minEndpoints" $picker.minEndpoints "outcomes" $picker.outcomes "health" (printf "%s:%v" $values.bindAddress $values.ports.health) -}}
{{- if $picker.objectives -}}{{- $_ := set $extProc "objectives" $picker.objectives -}}{{- end -}}
{{- if eq (include "warmpath.pickerTls" .) "files" -}}
{{- $extProc = merge $extProc (dict "tlsCert" (printf "%s/picker.crt" $secrets) "tlsKey" (printf "%s/picker.key" $secrets)) -}}
{{- end -}}
{{- $_ := set $config "extProc" $extProc -}}
{{- $_ := set $config "grpc" (printf "%s:%v" $values.bindAddress $values.ports.grpc) -}}
{{- end -}}
{{- if and $values.failover.enabled (eq $values.mode "gateway") -}}
{{- $_ := set $config "grpc" (printf "%s:%v" $values.bindAddress $values.ports.peers) -}}
{{- $_ := set $config "replicas" (list (printf "%s-peers.%s.svc:%v" (include "warmpath.fullname" .) .Release.Namespace $values.ports.peers)) -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}

{{/*
What a running pod does not take over by itself: a change of it rolls the pods. Nodes, models and the like are read again
while the pods run; CAs of nodes and whether there are keys are part of Envoy's own configuration.
*/}}
{{- define "warmpath.restartFor" -}}
{{- $config := include "warmpath.config" . | fromYaml -}}
{{- $fixed := omit $config "nodes" "models" "clients" "discovery" "poll" "health" "waiting" "rewrites" "log" -}}
{{- dict "config" $fixed "connectTimeout" (dig "poll" "connectTimeout" "" $config) "maxWait" (dig "waiting" "maxWait" "" $config) "clients" (not (empty $config.clients)) "files" (include "warmpath.files" . | fromYaml) | toJson | sha256sum -}}
{{- end -}}
