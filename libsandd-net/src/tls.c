// SPDX-License-Identifier: MIT
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#include "internal.h"

/* A name that no certificate has: what is checked unless the connection's own name was set. */
#define NOBODY "nobody.invalid"

static const char *reason(void) {
  unsigned long code = ERR_peek_last_error();
  const char *text = code ? ERR_reason_error_string(code) : NULL;
  return text ? text : "unknown reason";
}

static int bad_file(const char *what, const char *file, char *text, size_t size) {
  FILE *f = fopen(file, "r");
  if (!f) {
    snprintf(text, size, "cannot read the %s file %s: %m", what, file);
  } else {
    fclose(f);
    snprintf(text, size, "the %s file %s is not usable: %s", what, file, reason());
  }
  ERR_clear_error();
  return SANDD_NET_CERTIFICATE;
}

int tls_configure(SSL_CTX *ctx, const tls_files *files, char *text, size_t size) {
  ERR_clear_error();
  SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
  SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  /* Every connection lasts; sessions to resume would only take memory, some KiB each. */
  SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(ctx, 0);
  SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
  /* libwebsockets' own would move the connection to another listener's certificate. */
  SSL_CTX_set_tlsext_servername_callback(ctx, NULL);
  if (files->cert && SSL_CTX_use_certificate_chain_file(ctx, files->cert) != 1) {
    return bad_file("certificate", files->cert, text, size);
  }
  if (files->key && SSL_CTX_use_PrivateKey_file(ctx, files->key, SSL_FILETYPE_PEM) != 1) {
    return bad_file("key", files->key, text, size);
  }
  if (files->key && SSL_CTX_check_private_key(ctx) != 1) {
    snprintf(text, size, "the key in %s does not belong to the certificate in %s", files->key, files->cert);
    ERR_clear_error();
    return SANDD_NET_CERTIFICATE;
  }
  if (files->ca && SSL_CTX_load_verify_locations(ctx, files->ca, NULL) != 1) {
    return bad_file("CA", files->ca, text, size);
  }
  if (files->server && files->ca) {
    SSL_CTX_set_client_CA_list(ctx, SSL_load_client_CA_file(files->ca));
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
  }
  return SANDD_NET_OK;
}

static int accept_any(int ok, X509_STORE_CTX *store) {
  (void)ok;
  X509_STORE_CTX_set_error(store, X509_V_OK);
  return 1;
}

static int verify(int ok, X509_STORE_CTX *store) {
  SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
  sandd_net *net = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
  sandd_conn *conn = dial_of_ssl(net, ssl);
  if (!ok && conn && !*conn->dial->tls_text) {
    int error = X509_STORE_CTX_get_error(store);
    const char *why = X509_verify_cert_error_string(error);
    if (error == X509_V_ERR_HOSTNAME_MISMATCH || error == X509_V_ERR_IP_ADDRESS_MISMATCH) {
      snprintf(conn->dial->tls_text, sizeof conn->dial->tls_text, "the server's certificate is not for %s: %s",
               conn->dial->server_name, why);
    } else {
      snprintf(conn->dial->tls_text, sizeof conn->dial->tls_text, "the server's certificate is not trusted: %s", why);
    }
  }
  return ok && conn;
}

static void start_handshake(SSL *ssl, dial *d) {
  X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
  unsigned char address[16];
  bool literal = !uv_inet_pton(AF_INET, d->server_name, address) || !uv_inet_pton(AF_INET6, d->server_name, address);
  SSL_set_tlsext_host_name(ssl, literal ? NULL : d->server_name);
  SSL_set_verify(ssl, SSL_VERIFY_PEER, d->insecure ? accept_any : verify);
  X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  X509_VERIFY_PARAM_set1_host(param, literal ? NULL : d->server_name, 0);
  if (literal) {
    X509_VERIFY_PARAM_set1_ip_asc(param, d->server_name);
  }
}

static const char *alert_text(int alert) {
  /* OpenSSL 3.0 has no text for this one. */
  return (alert & 0xff) == SSL_AD_CERTIFICATE_REQUIRED ? "certificate required" : SSL_alert_desc_string_long(alert);
}

/* The one place where OpenSSL's reason can be seen: libwebsockets empties the error queue. */
static void on_info(const SSL *ssl, int where, int ret) {
  sandd_net *net = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
  sandd_conn *conn = dial_of_ssl(net, ssl);
  if (!conn) {
    return;
  }
  dial *d = conn->dial;
  if (where & SSL_CB_HANDSHAKE_START && !d->tls_done) {
    start_handshake((SSL *)(uintptr_t)ssl, d);
  } else if (where & SSL_CB_HANDSHAKE_DONE) {
    d->tls_done = true;
  } else if (*d->tls_text) {
    return;
  } else if ((where & SSL_CB_READ_ALERT) == SSL_CB_READ_ALERT && ret >> 8 == SSL3_AL_FATAL) {
    snprintf(d->tls_text, sizeof d->tls_text, "the server refused the TLS handshake: %s", alert_text(ret));
  } else if (where & SSL_CB_EXIT && ret < 0 && ERR_peek_last_error()) {
    snprintf(d->tls_text, sizeof d->tls_text, "the TLS handshake failed: %s", reason());
  }
}

int tls_client_ctx(SSL_CTX **out, const tls_files *files, char *text, size_t size) {
  SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
  if (!ctx) {
    snprintf(text, size, "OpenSSL could not be set up");
    return SANDD_NET_NOMEM;
  }
  if (files->server) {
    /* Tried on one of our own first, whose errors can be told; and libwebsockets is kept from loading all of the
     * system's CAs for a client role that a listener's vhost does not have. */
    SSL_CTX *trial = SSL_CTX_new(TLS_server_method());
    int rc = trial ? tls_configure(trial, files, text, size) : SANDD_NET_NOMEM;
    SSL_CTX_free(trial);
    if (rc) {
      SSL_CTX_free(ctx);
      return rc;
    }
    *out = ctx;
    return SANDD_NET_OK;
  }
  int rc = tls_configure(ctx, files, text, size);
  if (rc) {
    SSL_CTX_free(ctx);
    return rc;
  }
  if (!files->ca && !files->insecure) {
    SSL_CTX_set_default_verify_paths(ctx);
  }
  X509_VERIFY_PARAM_set1_host(SSL_CTX_get0_param(ctx), NOBODY, 0);
  SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
  SSL_CTX_set_info_callback(ctx, on_info);
  *out = ctx;
  return SANDD_NET_OK;
}
