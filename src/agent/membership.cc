#include "agent/membership.h"

#include <fmt/format.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/security/server_credentials.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>

#include "agent/declaration_check.h"
#include "agent/peer.grpc.pb.h"
#include "agent/rpc_status.h"
#include "base/fd.h"
#include "base/log.h"

namespace martlet::agent {
namespace {

constexpr const char* kHosts = "hosts/";
constexpr const char* kTokens = "tokens/";
constexpr size_t kSecretBytes = 16;
constexpr auto kCallTimeout = std::chrono::seconds(10);

int64_t wall_seconds() {
  return time(nullptr);
}

// "SECRET.FINGERPRINT": the fingerprint lets the host that joins recognise the cluster before it
// shows the secret.
struct Token {
  std::string secret;
  std::string fingerprint;
};

Result<Token> parse_token(const std::string& text) {
  const size_t dot = text.find('.');
  if (dot == 2 * kSecretBytes && text.size() == dot + 1 + 64)
    return Token{text.substr(0, dot), text.substr(dot + 1)};
  return std::unexpected(Error(Code::kInvalidArgument, "this is not a complete token")
                             .with_remedy("make one with 'martlet token' on a member"));
}

std::shared_ptr<grpc::Channel> make_channel(const std::string& address,
                                            const std::string& host_name,
                                            const grpc::SslCredentialsOptions& options) {
  grpc::ChannelArguments arguments;
  arguments.SetSslTargetNameOverride(host_name);  // what the certificate must say
  return grpc::CreateCustomChannel(address, grpc::SslCredentials(options), arguments);
}

Result<JoinReply> call_join(const std::string& address, const RemoteIdentity& member,
                            const JoinRequest& request) {
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = member.authority;
  const auto stub = Peer::NewStub(make_channel(address, member.host_name, options));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kCallTimeout);
  JoinReply reply;
  const grpc::Status status = stub->Join(&context, request, &reply);
  if (!status.ok()) return std::unexpected(from_status(status, address));
  return reply;
}

}  // namespace

Result<std::unique_ptr<Membership>> Membership::open(const AgentConfig& config,
                                                     cluster::Store& store) {
  std::unique_ptr<Membership> membership(new Membership(config, store));
  // The certificate is written last, so with it everything is there.
  if (access(membership->file("host.crt").c_str(), F_OK) != 0) return membership;
  membership->identity_ = TlsIdentity{TRY(read_file(membership->file("ca.crt"))),
                                      TRY(read_file(membership->file("host.crt"))),
                                      TRY(read_file(membership->file("host.key")))};
  const std::string name = TRY(name_in_certificate(membership->identity_->certificate));
  if (name != config.name)
    return std::unexpected(
        Error(Code::kInvalidArgument, fmt::format("the certificate in {} is for {}, not {}",
                                                  config.state_dir, name, config.name))
            .with_remedy("start the agent with the name it joined with"));
  return membership;
}

bool Membership::is_member() const {
  const std::lock_guard lock(mutex_);
  return identity_.has_value();
}

Result<TlsIdentity> Membership::identity() const {
  const std::lock_guard lock(mutex_);
  if (identity_) return *identity_;
  return std::unexpected(
      Error(Code::kNotFound, fmt::format("{} is not a member of a cluster", config_.name))
          .with_remedy("make one with 'martlet init' or enter one with 'martlet join'"));
}

std::string Membership::address() const {
  const std::lock_guard lock(mutex_);
  return address_;
}

void Membership::set_address(const std::string& address) {
  const std::lock_guard lock(mutex_);
  address_ = address;
}

Result<void> Membership::refuse_member() const {
  if (!is_member()) return {};
  return fail(Code::kAlreadyExists,
              fmt::format("{} is a member of a cluster already", config_.name));
}

Result<void> Membership::save_identity(TlsIdentity identity) {
  std::error_code error;
  std::filesystem::create_directories(config_.state_dir + "/pki", error);
  if (error) return std::unexpected(Error::from_errno(error.value(), config_.state_dir + "/pki"));
  TRY(replace_file(file("ca.crt"), identity.authority, 0600));
  TRY(replace_file(file("host.key"), identity.key, 0600));
  TRY(replace_file(file("host.crt"), identity.certificate, 0600));
  const std::lock_guard lock(mutex_);
  identity_ = std::move(identity);
  return {};
}

Result<Authority> Membership::authority() const {
  auto key = read_file(file("ca.key"));
  if (!key)
    return std::unexpected(
        Error(Code::kUnsupported, fmt::format("{} does not hold the cluster's key", config_.name))
            .with_remedy("use the host where 'martlet init' was called"));
  return Authority{TRY(identity()).authority, std::move(*key)};
}

Result<void> Membership::init() {
  TRY(refuse_member());
  const Authority authority = TRY(make_authority());
  const SigningRequest request = TRY(make_signing_request(config_.name));
  const std::string certificate = TRY(sign_request(authority, request.request));
  std::error_code error;
  std::filesystem::create_directories(config_.state_dir + "/pki", error);
  TRY(replace_file(file("ca.key"), authority.key, 0600));
  return save_identity({authority.certificate, certificate, request.key});
}

Result<std::string> Membership::create_token(double valid_seconds) {
  TRY(authority());
  if (!(valid_seconds > 0 && valid_seconds <= 30 * 86400.0))
    return fail(Code::kInvalidArgument, "a token is valid for more than 0 s and at most 30 days");
  const std::string secret = TRY(random_hex(kSecretBytes));
  const int64_t expires = wall_seconds() + static_cast<int64_t>(valid_seconds) + 1;
  TRY(store_.put(kTokens + sha256_hex(secret), std::to_string(expires)));
  return fmt::format("{}.{}", secret, TRY(fingerprint(TRY(identity()).authority)));
}

Result<void> Membership::use_up(const std::string& text) {
  const auto refuse = [](std::string cause) {
    return std::unexpected(Error(Code::kPermission, std::move(cause))
                               .with_remedy("make a new one with 'martlet token'"));
  };
  const Token token = TRY(parse_token(text));
  const auto stored = TRY(store_.get(kTokens + sha256_hex(token.secret)));
  if (!stored || !store_.erase_if(stored->key, stored->revision))
    return refuse("the token is not known here or was used before");
  if (std::stoll(stored->value) < wall_seconds()) return refuse("the token has expired");
  return {};
}

Result<JoinReply> Membership::admit(const JoinRequest& request) {
  const Authority signer = TRY(authority());
  const std::string name = TRY(name_in_request(request.signing_request()));
  if (name == config_.name || find_host(name))
    return std::unexpected(
        Error(Code::kAlreadyExists, fmt::format("the cluster has a host {} already", name))
            .with_remedy(fmt::format("choose another name, or 'martlet host-rm {}' first", name)));
  TRY(use_up(request.token()));
  JoinReply reply;
  reply.set_certificate(TRY(sign_request(signer, request.signing_request())));
  for (const Host& host : TRY(hosts())) *reply.add_hosts() = host;
  Host* const self = reply.add_hosts();
  self->set_name(config_.name);
  self->set_address(address());
  spdlog::info("host {} has joined the cluster", name);
  return reply;
}

Result<void> Membership::join(const std::string& address, const std::string& token) {
  TRY(refuse_member());
  const RemoteIdentity member = TRY(fetch_identity(address, TRY(parse_token(token)).fingerprint));
  SigningRequest request = TRY(make_signing_request(config_.name));
  JoinRequest message;
  message.set_token(token);
  message.set_signing_request(request.request);
  const JoinReply reply = TRY(call_join(address, member, message));
  for (const Host& host : reply.hosts()) TRY(add_host(host));
  return save_identity({member.authority, reply.certificate(), std::move(request.key)});
}

void Membership::announce() {
  Host self;
  self.set_name(config_.name);
  self.set_address(address());
  for (const Host& host : hosts().value_or(std::vector<Host>())) {
    const auto channel = connect(host);
    if (!channel) return;
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kCallTimeout);
    Empty reply;
    const grpc::Status status = Peer::NewStub(*channel)->Announce(&context, self, &reply);
    if (!status.ok())
      spdlog::warn("host {} at {} did not hear of this host: {}", host.name(), host.address(),
                   status.error_message());
  }
}

Result<std::vector<Host>> Membership::hosts() const {
  std::vector<Host> hosts;
  for (const cluster::StoredRecord& record : TRY(store_.list(kHosts)))
    if (!hosts.emplace_back().ParseFromString(record.value))
      return fail(Code::kBadImage, fmt::format("the record {} is damaged", record.key));
  return hosts;
}

Result<Host> Membership::find_host(const std::string& name) const {
  const auto record = TRY(store_.get(kHosts + name));
  Host host;
  if (record && host.ParseFromString(record->value)) return host;
  return std::unexpected(Error(Code::kNotFound, fmt::format("no host {} in the cluster", name))
                             .with_remedy("'martlet hosts' lists them"));
}

Result<void> Membership::add_host(const Host& host) {
  TRY(check_name(host.name()));
  if (host.address().rfind(':') == std::string::npos)
    return fail(Code::kInvalidArgument, fmt::format("'{}' is not HOST:PORT", host.address()));
  TRY(store_.put(kHosts + host.name(), host.SerializeAsString()));
  return {};
}

Result<void> Membership::remove_host(const std::string& name) {
  TRY(find_host(name));
  return store_.erase(kHosts + name);
}

Result<std::shared_ptr<grpc::Channel>> Membership::connect(const Host& host) const {
  const TlsIdentity own = TRY(identity());
  return make_channel(host.address(), host.name(),
                      {.pem_root_certs = own.authority,
                       .pem_private_key = own.key,
                       .pem_cert_chain = own.certificate});
}

Result<std::shared_ptr<grpc::ServerCredentials>> Membership::server_credentials() const {
  const TlsIdentity own = TRY(identity());
  // A host that joins has no certificate yet; every call but Join refuses a client without.
  grpc::SslServerCredentialsOptions options(GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY);
  options.pem_root_certs = own.authority;
  options.pem_key_cert_pairs.push_back({own.key, own.certificate + own.authority});
  return grpc::SslServerCredentials(options);
}

}  // namespace martlet::agent
