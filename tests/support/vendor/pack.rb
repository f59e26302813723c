# pack.rb OUT: packs every gem that Debian's packages have installed into OUT, as files that Bundler takes from vendor/cache.
#
# Debian builds gems from their sources and lays their files where its own policy wants them; what is found through the
# package database goes back to where a gem has it. Compiled parts make it a gem of this platform, as authors publish them.
require "fileutils"
require "tmpdir"
require "rubygems/package"

out = File.expand_path(ARGV.fetch(0))
FileUtils.mkdir_p(out)

# Places of `lib` beside a gem's own directory, where packages of one gem lay files.
LIBS = [%r{\A/usr/lib/[^/]+/ruby/vendor_ruby/\d[^/]*/(.+)}, %r{\A/usr/lib/ruby/vendor_ruby/(.+)}].freeze
# What a compilation leaves there besides.
LEFT = /\A(gem\.build_complete|gem_make\.out|mkmf\.log)/

# Where each file of the spec's Debian package belongs in the gem.
def files_of(spec)
  package = `dpkg -S #{spec.loaded_from} 2>/dev/null`.split(":").first or return {}
  # Ruby's own package holds many gems; elsewhere only their own directories count.
  libs = package.start_with?("libruby") ? [] : LIBS
  `dpkg -L #{package}`.lines(chomp: true).select { |path| File.file?(path) }.each_with_object({}) do |path, files|
    at = path.delete_prefix("#{spec.full_gem_path}/") if path.start_with?("#{spec.full_gem_path}/")
    inner = path.delete_prefix("#{spec.extension_dir}/") if path.start_with?("#{spec.extension_dir}/")
    inner ||= libs.lazy.filter_map { |pattern| path[pattern, 1] }.first
    at ||= "lib/#{inner}" if inner && inner !~ LEFT
    files[at] ||= path if at
  end
end

Gem::Specification.each do |spec|
  next if spec.default_gem?
  files = files_of(spec)
  bindir = spec.bindir.to_s.empty? ? "exe" : spec.bindir
  spec.executables.each { |name| files["#{bindir}/#{name}"] ||= "/usr/bin/#{name}" if File.file?("/usr/bin/#{name}") }
  files.select! { |at, _| at.start_with?("lib/", "app/", "config/", "data/", "templates/", "vendor/", "db/", "#{bindir}/") || at !~ %r{/} }
  # A gem may be nothing but the list of what it needs.
  next if files.empty? && spec.runtime_dependencies.empty?

  Dir.mktmpdir do |dir|
    files.each do |at, path|
      FileUtils.mkdir_p(File.dirname("#{dir}/#{at}"))
      FileUtils.cp(path, "#{dir}/#{at}")
    end
    made = Gem::Specification.new do |gem|
      gem.name, gem.version, gem.summary = spec.name, spec.version, spec.summary || spec.name
      gem.authors = spec.authors.empty? ? ["Debian"] : spec.authors
      gem.files = files.keys
      gem.require_paths = (spec.raw_require_paths + ["lib"]).uniq
      gem.bindir = bindir
      gem.executables = spec.executables.select { |name| files.key?("#{bindir}/#{name}") }
      gem.platform = Gem::Platform.local if files.keys.any? { |at| at.end_with?(".so") }
      spec.runtime_dependencies.each { |need| gem.add_runtime_dependency(need.name, *need.requirement.as_list) }
    end
    Dir.chdir(dir) { Gem::Package.build(made, true, false, "#{out}/#{made.file_name}") }
  end
end
