class Hufu < Formula
  desc "Secure file transfer between computers that prove who they are"
  homepage "{{.Base}}"
  version "{{.Version}}"
  license "Apache-2.0"

  on_macos do
    on_arm do
      url "{{.Base}}/hufu_{{.Version}}_darwin_arm64.tar.gz"
      sha256 "{{digest .Digest (print "hufu_" .Version "_darwin_arm64.tar.gz")}}"
    end
    on_intel do
      url "{{.Base}}/hufu_{{.Version}}_darwin_amd64.tar.gz"
      sha256 "{{digest .Digest (print "hufu_" .Version "_darwin_amd64.tar.gz")}}"
    end
  end

  on_linux do
    on_arm do
      url "{{.Base}}/hufu_{{.Version}}_linux_arm64.tar.gz"
      sha256 "{{digest .Digest (print "hufu_" .Version "_linux_arm64.tar.gz")}}"
    end
    on_intel do
      url "{{.Base}}/hufu_{{.Version}}_linux_amd64.tar.gz"
      sha256 "{{digest .Digest (print "hufu_" .Version "_linux_amd64.tar.gz")}}"
    end
  end

  def install
    bin.install "hufu", "hufud"
    man1.install Dir["man/*.1"]
    man7.install Dir["man/*.7"]
    %w[hufu hufud].each do |name|
      bash_completion.install "completions/#{name}.bash" => name
      zsh_completion.install "completions/_#{name}"
      fish_completion.install "completions/#{name}.fish"
    end
    doc.install Dir["*.md"], "docs", "LICENSES.txt"
  end

  test do
    assert_match version.to_s, shell_output("#{bin}/hufu version")
    assert_match version.to_s, shell_output("#{bin}/hufud version")
  end
end
